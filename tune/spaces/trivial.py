"""The search space of `trivial`."""

from typing import Any

from dgad.settings import FeatureSettings
from tune.spaces.base import Trial


def space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """Nothing: it has no settings, and is not searched."""
    del trial, features
    return {}
