"""The search space of `eisnet`."""

from typing import Any

from dgad.settings import FeatureSettings
from tune.spaces.base import Trial
from tune.spaces.generalisation import choose_training

JIGSAW_WEIGHTS = (0.0, 0.3, 0.7, 1.0)
"""Steps here and below, because 0 (the loss off) must be among them."""
TRIPLET_WEIGHTS = (0.0, 0.1, 0.5, 1.0)


def space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Batches and SGD, and the weights of the jigsaw and the triplet loss with what each of them needs."""
    del features
    chosen: dict[str, Any] = {
        "num_steps": trial.suggest_categorical("num_steps", [45, 90, 180]),
        "jigsaw_weight": trial.suggest_categorical("jigsaw_weight", JIGSAW_WEIGHTS),
        "identity_probability": trial.suggest_categorical("identity_probability", [0.7, 0.9, 1.0]),
        "triplet_weight": trial.suggest_categorical("triplet_weight", TRIPLET_WEIGHTS),
        **choose_training(trial),
    }
    if chosen["triplet_weight"] > 0:
        chosen["margin"] = trial.suggest_categorical("margin", [0.5, 1.0, 2.0])
        chosen["ema_decay"] = trial.suggest_categorical("ema_decay", [0.9, 0.99, 0.999])
    return chosen
