"""Early stopping under Ray Tune: every cell by its own rule, on its own inner folds."""

from collections.abc import Mapping
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tune.search.searcher import MatrixSearcher


class CellScheduler(FIFOScheduler):
    """Trials run in the order they are dealt; each ends where the rule of its cell says so.

    One rung table for the whole matrix would weigh a configuration against those of other surfaces. The
    rule's state is the cell's Optuna journal, so nothing has to be stored here.
    """

    def __init__(self, searcher: MatrixSearcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Ask the cell's rule, after an inner fold, whether the trial goes on."""
        stop = self._searcher.should_stop(trial.trial_id, result)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journals are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journals are the state."""
