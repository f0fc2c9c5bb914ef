"""The search space of `autoencoder`."""

from typing import Any

from dgad.settings import FeatureSettings
from tune.spaces.base import Trial
from tune.spaces.reconstruction import choose_network


def space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """What the family shares, and nothing else."""
    del features
    return choose_network(trial)
