"""Hands the events of a search on to several listeners."""

from tune.monitoring.progress import FitEnd, Progress, TrialEnd


class Tee:
    """Tells each event to every listener in turn; the first keeps the board, which the others read."""

    def __init__(self, first: Progress, *others: Progress) -> None:
        self.board = first.board
        self._listeners = (first, *others)

    def begin_phase(self, text: str) -> None:
        """Hand the event on to every listener."""
        for listener in self._listeners:
            listener.begin_phase(text)

    def begin_trial(self, cell: str, number: int, fold: str) -> None:
        """Hand the event on to every listener."""
        for listener in self._listeners:
            listener.begin_trial(cell, number, fold)

    def end_trial(self, cell: str, number: int, end: TrialEnd) -> None:
        """Hand the event on to every listener."""
        for listener in self._listeners:
            listener.end_trial(cell, number, end)

    def end_fit(self, fit: FitEnd) -> None:
        """Hand the event on to every listener."""
        for listener in self._listeners:
            listener.end_fit(fit)

    def end_job(self, done: int, total: int, text: str) -> None:
        """Hand the event on to every listener."""
        for listener in self._listeners:
            listener.end_job(done, total, text)
