"""One search told to several listeners."""

from tune.monitoring.progress import FitEnd, Progress, TrialEnd


class Tee:
    """Tells each event to every listener in turn; the first keeps the board, which the others read."""

    def __init__(self, first: Progress, *others: Progress) -> None:
        self.board = first.board
        self._listeners = (first, *others)

    def phase(self, text: str) -> None:
        """To all."""
        for listener in self._listeners:
            listener.phase(text)

    def trial_begun(self, cell: str, number: int, fold: str) -> None:
        """To all."""
        for listener in self._listeners:
            listener.trial_begun(cell, number, fold)

    def trial_ended(self, cell: str, number: int, end: TrialEnd) -> None:
        """To all."""
        for listener in self._listeners:
            listener.trial_ended(cell, number, end)

    def fit_ended(self, fit: FitEnd) -> None:
        """To all."""
        for listener in self._listeners:
            listener.fit_ended(fit)

    def job_ended(self, done: int, total: int, text: str) -> None:
        """To all."""
        for listener in self._listeners:
            listener.job_ended(done, total, text)
