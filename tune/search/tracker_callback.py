"""Ray Tune's events for TensorBoard and MLflow."""

import json
from typing import Any

from ray.tune import Callback

from tune.monitoring.trackers import Tracking, make_figures
from tune.run_folder.layout import ERROR_KEY, SCORES_KEY
from tune.search.searcher import METRIC


class TrackerCallback(Callback):
    """Hands each event on, in our words."""

    def __init__(self, tracking: Tracking | None) -> None:
        self._tracking = tracking

    def __getstate__(self) -> dict[str, Any]:
        return {"_tracking": None}  # Ray Tune stores callbacks; open files and connections cannot be

    def __deepcopy__(self, memo: dict[int, Any]) -> "TrackerCallback":
        return self

    def setup(
        self, stop: Any = None, num_samples: Any = None, total_num_samples: Any = None, **i: Any
    ) -> None:
        """Begin the trackers' runs, before the first trial."""
        if self._tracking:
            self._tracking.begin()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Report that a trial has got a worker."""
        if self._tracking:
            self._tracking.start_trial(trial.config)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Report the figures of a trial that has finished an inner fold."""
        if self._tracking and SCORES_KEY in result:
            scores = json.loads(result[SCORES_KEY])
            values = make_figures(scores, result.get(METRIC), int(result["training_iteration"]))
            self._tracking.report_scores(trial.config, values)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Report a trial that ended by itself, with a value or with an error of its own."""
        if self._tracking:
            self._tracking.end_trial(trial.config, failed=bool(trial.last_result.get(ERROR_KEY)))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Report a trial as failed, whose worker broke off too often."""
        if self._tracking:
            self._tracking.end_trial(trial.config, failed=True)
