"""The search space of `contextual`: how patches are aligned, and how the decoder is trained."""

from typing import Any

from dgad.features.settings import FeatureSettings
from tune.spaces.base import Trial


def contextual_space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """No more surfaces than the default are drawn: their time is what a fit costs."""
    del features
    return {
        "num_levels": trial.suggest_int("num_levels", 1, 3),
        "num_neighbours": trial.suggest_categorical("num_neighbours", [1, 3, 5]),
        "width": trial.suggest_categorical("width", [24, 40]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "top_fraction": trial.suggest_float("top_fraction", 0.005, 0.2, log=True),
        "num_steps": trial.suggest_categorical("num_steps", [100, 300, 600]),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 5e-3, log=True),
    }
