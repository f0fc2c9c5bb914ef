"""The search space of `agg`."""

from typing import Any

from dgad.settings import FeatureSettings
from tune.spaces.base import Trial
from tune.spaces.generalisation import choose_training


def space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Batches and SGD; there is nothing else to choose."""
    del features
    return {"num_steps": trial.suggest_categorical("num_steps", [60, 120, 240]), **choose_training(trial)}
