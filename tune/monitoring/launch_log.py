"""A running search, told to the study's log."""

from tune.monitoring.progress import Board, FitEnd, TrialEnd, format_trial_line
from tune.run_folder.process import LaunchLog


class LogProgress:
    """The search's events as lines; the board belongs to the display beside it, which keeps it."""

    def __init__(self, log: LaunchLog, board: Board) -> None:
        self.board = board
        self._log = log

    def begin_phase(self, text: str) -> None:
        """The line itself."""
        self._log.line(text)

    def begin_trial(self, cell: str, number: int, fold: str) -> None:
        """Not worth a line."""

    def end_trial(self, cell: str, number: int, end: TrialEnd) -> None:
        """As in a pipe."""
        self._log.line(format_trial_line(self.board, cell, number, end))

    def end_fit(self, fit: FitEnd) -> None:
        """Not worth a line."""

    def end_job(self, done: int, total: int, text: str) -> None:
        """As in a pipe."""
        self._log.line(f"[{done}/{total}] {text}")
