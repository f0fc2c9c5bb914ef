"""The search space of `trustmae`."""

from typing import Any

from dgad.settings import FeatureSettings
from tune.spaces.base import Trial
from tune.spaces.reconstruction import NUM_SLOTS, choose_network

TRUST_WEIGHTS = (0.0, 1e-3, 1e-2, 0.1)
"""Steps here and below, because 0 (the part off) must be among them."""
MARGIN_WEIGHTS = (0.0, 1e-3, 1e-2, 0.1)
PERCEPTUAL_WEIGHTS = (0.0, 0.3, 1.0, 3.0)


def space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """What the family shares, and the memory's addressing and losses; radius and margin where they matter."""
    del features
    chosen = {
        **choose_network(trial),
        "num_slots": trial.suggest_categorical("num_slots", NUM_SLOTS),
        "num_nearest": trial.suggest_categorical("num_nearest", [1, 2, 4, 8]),
        "temperature": trial.suggest_float("temperature", 0.03, 1.0, log=True),
        "trust_weight": trial.suggest_categorical("trust_weight", TRUST_WEIGHTS),
        "margin_weight": trial.suggest_categorical("margin_weight", MARGIN_WEIGHTS),
        "perceptual_weight": trial.suggest_categorical("perceptual_weight", PERCEPTUAL_WEIGHTS),
        "centred": trial.suggest_categorical("centred", [True, False]),
    }
    if chosen["trust_weight"] > 0:
        chosen["trust_radius"] = trial.suggest_float("trust_radius", 0.3, 1.2)
        chosen["trust_limit"] = trial.suggest_float("trust_limit", 1.2, 3.0)
    if chosen["margin_weight"] > 0:
        chosen["margin"] = trial.suggest_categorical("margin", [0.05, 0.1, 0.3])
    return chosen
