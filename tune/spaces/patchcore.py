"""The search space of `patchcore`."""

from typing import Any

from dgad.settings import FeatureSettings
from tune.spaces.base import Trial


def space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Which features the memory holds, how many of them, and whether the image score is re-weighted."""
    del features
    stride = trial.suggest_categorical("finest_stride", [4, 8])
    return {
        "finest_stride": stride,
        "num_levels": trial.suggest_int("num_levels", 1, 3 if stride == 4 else 2),
        "neighbourhood": trial.suggest_categorical("neighbourhood", [1, 3, 5]),
        "coreset_ratio": trial.suggest_categorical("coreset_ratio", [0.05, 0.1, 0.25, 0.5, 1.0]),
        "num_neighbours": trial.suggest_categorical("num_neighbours", [1, 3, 9]),
    }
