"""A search's figures for Prometheus, through Ray: `ray_` and the names below, on every node's metrics port.

They are kept in the driver: what a trial's own process counts may never be asked for before it ends.
"""

from ray.util.metrics import Counter, Gauge, Histogram

from dgad.names import make_ascii
from tune.monitoring.progress import Board, FitEnd, TrialEnd

_CELL_BEST = "dgad_cell_best_inner_score"
_CELL_PLANNED = "dgad_cell_trials_planned"
TRIALS = "dgad_trials_total"
_FITS = "dgad_fits_total"
_FIT_SECONDS = "dgad_fit_seconds"
_REFITS_DONE = "dgad_refits_done"
_REFITS_PLANNED = "dgad_refits_planned"

EXPORTED = frozenset(
    f"ray_{name}"
    for name in (
        _CELL_BEST,
        _CELL_PLANNED,
        TRIALS,
        _FITS,
        *(f"{_FIT_SECONDS}_{part}" for part in ("bucket", "count", "sum")),
        _REFITS_DONE,
        _REFITS_PLANNED,
    )
)
"""Every series as Prometheus has it."""

_BOUNDARIES_S = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0]


class StudyMetrics:
    """Hears what the search tells; the board belongs to the display, which hears it first."""

    def __init__(self, study: str, board: Board) -> None:
        """To be made when Ray runs; begins with what earlier runs of the study have finished."""
        self.board = board
        self._best = Gauge(_CELL_BEST, "Best mean of a cell over its inner folds", ("study", "cell"))
        self._planned = Gauge(_CELL_PLANNED, "Trials a cell will have", ("study", "cell"))
        self._trials = Counter(TRIALS, "Trials that ended, by how", ("study", "cell", "status"))
        self._fits = Counter(_FITS, "Fits asked for in this run, by outcome", ("study", "outcome"))
        self._fit_s = Histogram(_FIT_SECONDS, "Seconds of a computed fit", _BOUNDARIES_S, ("study",))
        self._refits_done = Gauge(_REFITS_DONE, "Refits and scorings done in this run", ("study",))
        self._refits_planned = Gauge(_REFITS_PLANNED, "Refits and scorings of this run", ("study",))
        for metric in (
            self._best,
            self._planned,
            self._trials,
            self._fits,
            self._fit_s,
            self._refits_done,
            self._refits_planned,
        ):
            metric.set_default_tags({"study": make_ascii(study)})
        for cell, progress in board.cells.items():
            complete = progress.done - progress.stopped - progress.failed
            self._planned.set(progress.planned, _tags(cell))
            self._best.set(progress.best, _tags(cell))
            self._count(cell, "complete", complete)
            self._count(cell, "stopped", progress.stopped)
            self._count(cell, "failed", progress.failed)

    def begin_phase(self, text: str) -> None:
        """Export nothing: the event changes no figure."""

    def begin_trial(self, cell: str, number: int, fold: str) -> None:
        """Export nothing: the event changes no figure."""

    def end_trial(self, cell: str, number: int, end: TrialEnd) -> None:
        """Count one more trial, and export the cell's best."""
        self._count(cell, end.status, 1)
        self._best.set(self.board.cells[cell].best, _tags(cell))

    def end_fit(self, fit: FitEnd) -> None:
        """Count one more fit, and what it took where it was computed."""
        self._fits.inc(1, {"outcome": fit.outcome})
        if fit.fit_s is not None:
            self._fit_s.observe(fit.fit_s)

    def end_job(self, done: int, total: int, text: str) -> None:
        """Export how many refits are done, and of how many."""
        self._refits_done.set(done)
        self._refits_planned.set(total)

    def _count(self, cell: str, status: str, number: int) -> None:
        if number > 0:  # Ray's counters refuse to stay where they are
            self._trials.inc(number, {**_tags(cell), "status": status})


def _tags(cell: str) -> dict[str, str]:
    """A cell is called by its target, a folder that may have any name; Ray takes values in ASCII alone."""
    return {"cell": make_ascii(cell)}
