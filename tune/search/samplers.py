"""What a cell's Optuna study proposes with, and when it gives a configuration up."""

import itertools
from collections.abc import Callable, Container, Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tune.study.settings import Pruning, SamplerName

_NUM_BEFORE_STOPPING = 3
"""Configurations of a cell that `median` sees through before it stops any."""
NUM_SEEN, NUM_BEST_SEEN, NUM_RUNNING_SEEN = 200, 25, 50
"""Of a cell with more trials `tpe` looks at so many: the best, the latest that run, the latest that are over.
It never takes more than 25 for good, and weighs the others the less the older they are, but its time grows
with every one it sees."""


class BoundedTPE(optuna.samplers.TPESampler):
    """TPE whose time for a configuration does not grow with the cell; the same while it has few trials.

    With several objectives it sees all, since the best are then no list.
    """

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """As TPE does, over the trials that are seen."""
        return super().infer_relative_search_space(_bounded(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, Any]
    ) -> dict[str, Any]:
        """As TPE does, over the trials that are seen."""
        return super().sample_relative(_bounded(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """As TPE does, over the trials that are seen."""
        return super().sample_independent(_bounded(study), trial, param_name, param_distribution)


def _bounded(study: optuna.Study) -> Any:
    """The study as TPE is to see it."""
    if len(study.directions) > 1:
        return study
    trials = study.get_trials(deepcopy=False)
    return _SeenStudy(study, select_seen(trials, study.direction)) if len(trials) > NUM_SEEN else study


def select_seen(trials: list[FrozenTrial], direction: optuna.study.StudyDirection) -> list[FrozenTrial]:
    """The best that were seen through, the latest that run, and the latest others that are over; in order."""
    sign = 1.0 if direction == optuna.study.StudyDirection.MAXIMIZE else -1.0
    whole = [t for t in trials if t.state == TrialState.COMPLETE]
    whole.sort(key=lambda t: -sign * (t.value or 0.0))
    within_bounds = (t.number for t in whole if all(excess <= 0 for excess in t.constraints.values()))
    best = set(itertools.islice(within_bounds, NUM_BEST_SEEN))
    running = [t.number for t in trials if t.state == TrialState.RUNNING][-NUM_RUNNING_SEEN:]
    over = (TrialState.COMPLETE, TrialState.PRUNED)
    others = [t.number for t in trials if t.state in over and t.number not in best]
    kept = {*best, *running, *others[len(best) + len(running) - NUM_SEEN :]}
    return [t for t in trials if t.number in kept]


class _SeenStudy:
    """A study that has some of its trials only; all else is the study's own."""

    def __init__(self, study: optuna.Study, trials: list[FrozenTrial]) -> None:
        self._study = study
        self._seen = trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [t for t in self._seen if states is None or t.state in states]


def _tpe(seed: int) -> optuna.samplers.BaseSampler:
    return BoundedTPE(
        multivariate=True,
        group=True,
        constant_liar=True,
        n_startup_trials=1,  # the initial design is the start
        seed=seed,
    )


_SAMPLERS: Mapping[SamplerName, Callable[[int], optuna.samplers.BaseSampler]] = {
    "tpe": _tpe,
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=12),
}


def make_sampler(name: SamplerName, *, seed: int) -> optuna.samplers.BaseSampler:
    """A sampler of one cell."""
    return _SAMPLERS[name](seed % 2**32)


def make_pruner(name: Pruning) -> optuna.pruners.BasePruner:
    """A rule of one cell; steps are inner folds finished, values the mean over them.

    `median`: below the median of the configurations seen through, at the same fold. `asha`: not in the
    better half of those that came as far (asynchronous successive halving).
    """
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=_NUM_BEFORE_STOPPING)
    if name == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    return optuna.pruners.NopPruner()
