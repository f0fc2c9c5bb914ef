"""What a launch said, kept: `launch.log`, plain lines with their time, appended by every run of a study."""

from pathlib import Path

from dgad.provenance import utc_now
from tune.monitoring.progress import Board, FitEnd, TrialEnd, trial_line

LOG_FILE = "launch.log"


class LaunchLog:
    """Whole lines, each on disk for readers as soon as it is said."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG_FILE

    def line(self, text: str) -> None:
        """`TIME TEXT`; a text of several lines becomes one."""
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(f"{utc_now()} {' '.join(text.split())}\n")


class LogProgress:
    """The search's events as lines; the board belongs to the display beside it, which keeps it."""

    def __init__(self, log: LaunchLog, board: Board) -> None:
        self.board = board
        self._log = log

    def phase(self, text: str) -> None:
        """The line itself."""
        self._log.line(text)

    def trial_begun(self, cell: str, number: int, fold: str) -> None:
        """Not worth a line."""

    def trial_ended(self, cell: str, number: int, end: TrialEnd) -> None:
        """As in a pipe."""
        self._log.line(trial_line(self.board, cell, number, end))

    def fit_ended(self, fit: FitEnd) -> None:
        """Not worth a line."""

    def job_ended(self, done: int, total: int, text: str) -> None:
        """As in a pipe."""
        self._log.line(f"[{done}/{total}] {text}")
