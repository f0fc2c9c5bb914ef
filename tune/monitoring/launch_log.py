"""A running search, told to the study's log."""

from tune.monitoring.progress import Board, FitEnd, TrialEnd, format_trial_line
from tune.run_folder.process import LaunchLog


class LogProgress:
    """The search's events as lines; the board belongs to the display beside it, which keeps it."""

    def __init__(self, log: LaunchLog, board: Board) -> None:
        self.board = board
        self._log = log

    def begin_phase(self, text: str) -> None:
        """Write what begins, as a line."""
        self._log.line(text)

    def begin_trial(self, cell: str, number: int, fold: str) -> None:
        """Write nothing: the event is not worth a line."""

    def end_trial(self, cell: str, number: int, end: TrialEnd) -> None:
        """Write the line that a console without a terminal would show."""
        self._log.line(format_trial_line(self.board, cell, number, end))

    def end_fit(self, fit: FitEnd) -> None:
        """Write nothing: the event is not worth a line."""

    def end_job(self, done: int, total: int, text: str) -> None:
        """Write the line that a console without a terminal would show."""
        self._log.line(f"[{done}/{total}] {text}")
