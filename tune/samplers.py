"""What a cell's Optuna study proposes with, and when it gives a configuration up."""

from collections.abc import Callable, Mapping
from typing import Literal

import optuna

SamplerName = Literal["tpe", "random", "nsga2"]
Pruning = Literal["median", "asha", "none"]

NUM_BEFORE_STOPPING = 3
"""Configurations of a cell that `median` sees through before it stops any."""


def _tpe(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(
        multivariate=True,
        group=True,
        constant_liar=True,
        n_startup_trials=1,  # the opening design is the start
        seed=seed,
    )


SAMPLERS: Mapping[SamplerName, Callable[[int], optuna.samplers.BaseSampler]] = {
    "tpe": _tpe,
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=12),
}


def make_sampler(name: SamplerName, *, seed: int) -> optuna.samplers.BaseSampler:
    """A sampler of one cell."""
    return SAMPLERS[name](seed % 2**32)


def make_pruner(name: Pruning) -> optuna.pruners.BasePruner:
    """A rule of one cell; steps are inner folds finished, values the mean over them.

    `median`: below the median of the configurations seen through, at the same fold. `asha`: not in the
    better half of those that came as far (asynchronous successive halving).
    """
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=NUM_BEFORE_STOPPING)
    if name == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    return optuna.pruners.NopPruner()
