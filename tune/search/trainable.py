"""One trial under Ray Tune: a configuration of one cell, one inner fold a step."""

import json
from typing import Any

from ray import tune as ray_tune

from tune.fits.coordinator import open_ledger
from tune.fits.executor import FitExecutor
from tune.fits.run import Run
from tune.run_folder.layout import ERROR_KEY, SCORES_KEY, VALUES_KEY
from tune.search.searcher import METRIC
from tune.search.selection import InnerScore, average_values, read_inner_score
from tune.study.cells import Cell

FITS_COMPUTED, FITS_READ, FIT_S, FOLD = "fits_computed", "fits_read", "fit_s", "fold"


class CellTrial(ray_tune.Trainable):
    """Fits on the sources of each inner fold, scores its held-out source, reports the running mean.

    The actor outlives its trials (`reuse_actors`), and with it the data and the frozen features.
    """

    def setup(  # type: ignore[override]  # `with_parameters` adds the two
        self, config: dict[str, Any], *, run: Run, cells: tuple[Cell, ...]
    ) -> None:
        """Open data, stores and ledger once for a worker, and begin its first trial."""
        self._run = run
        self._cells = {cell.name: cell for cell in cells}
        self._executor = FitExecutor(run)
        self._ledger = open_ledger(run)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin a further trial in the same worker; always possible."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._cell = self._cells[config["cell"]]
        self._settings = json.loads(config["settings"])
        self._scores: list[InnerScore] = []
        self._num_read = 0

    def step(self) -> dict[str, Any]:
        """One inner fold; the trial ends with the last one, or with the first that fails."""
        cell, fold = self._cell, self._cell.folds[len(self._scores)]
        key = self._run.fit_key(cell.method, self._settings, fold.sources, split=fold.split)
        self._ledger.append(cell.name, "fit", domains=key.sources, detail={"fit": key.id})
        num_fits = len(self._executor.fits.computed)
        record = self._executor.record(key, fold.target, label=cell.label, role="inner")
        computed = len(self._executor.fits.computed) - num_fits
        if record.status == "failed":
            error = f"{record.error} (traceback: {record.log})"
            return self._result(fold.target, done=True, error=error, computed=computed)
        names = self._run.study.figures
        self._scores.append(read_inner_score(cell, record, self._ledger, names))
        done = len(self._scores) == len(cell.folds)
        fit_s = record.fit_s if computed else None
        return self._result(fold.target, done=done, error="", computed=computed, fit_s=fit_s)

    def _result(
        self, fold: str, *, done: bool, error: str, computed: int, fit_s: float | None = None
    ) -> dict[str, Any]:
        study = self._run.study
        means = average_values(self._scores, study.figures)
        first = study.objectives[0]
        return {
            METRIC: means.get(first, float("nan")),
            SCORES_KEY: json.dumps({s.source: s.values[first] for s in self._scores}),
            VALUES_KEY: json.dumps(means),
            ERROR_KEY: error,
            FOLD: fold,
            FITS_COMPUTED: computed,
            FITS_READ: 1 - computed,
            FIT_S: fit_s,
            "done": done,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Do nothing: finished folds are records, and a trial begun again reads them."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Do nothing: a trial that is begun again reads the records of its finished folds."""
