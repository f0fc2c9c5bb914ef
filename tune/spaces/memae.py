"""The search space of `memae`."""

from typing import Any

from dgad.settings import FeatureSettings
from tune.spaces.base import Trial
from tune.spaces.reconstruction import NUM_SLOTS, choose_network

SHRINKAGES = (0.0, 1.0, 2.0, 3.0)
"""Steps here and below, because 0 (the part off) must be among them."""
ENTROPY_WEIGHTS = (0.0, 2e-5, 2e-4, 2e-3)


def space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """What the family shares, and the memory's addressing."""
    del features
    return {
        **choose_network(trial),
        "num_slots": trial.suggest_categorical("num_slots", NUM_SLOTS),
        "shrinkage": trial.suggest_categorical("shrinkage", SHRINKAGES),
        "temperature": trial.suggest_float("temperature", 0.03, 1.0, log=True),
        "entropy_weight": trial.suggest_categorical("entropy_weight", ENTROPY_WEIGHTS),
    }
