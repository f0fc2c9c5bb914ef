"""The search space of `epi_fcr`."""

from typing import Any

from dgad.settings import FeatureSettings
from tune.spaces.base import Trial
from tune.spaces.generalisation import choose_training

RANDOM_WEIGHTS = (0.0, 0.03, 0.1, 0.3, 1.0)
"""Steps here and below, because 0 (the loss off) must be among them."""
CLASSIFIER_WEIGHTS = (0.0, 0.05, 0.2, 1.0)
FEATURE_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)


def space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Batches and SGD, the warm-up, and the weights of the three episodic losses."""
    del features
    return {
        "num_steps": trial.suggest_categorical("num_steps", [30, 60, 120]),
        "num_warmup_steps": trial.suggest_categorical("num_warmup_steps", [0, 10, 20]),
        "random_weight": trial.suggest_categorical("random_weight", RANDOM_WEIGHTS),
        "classifier_weight": trial.suggest_categorical("classifier_weight", CLASSIFIER_WEIGHTS),
        "feature_weight": trial.suggest_categorical("feature_weight", FEATURE_WEIGHTS),
        **choose_training(trial),
    }
