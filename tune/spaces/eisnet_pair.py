"""The search space of `eisnet_pair`."""

from typing import Any

from dgad.settings import FeatureSettings
from tune.spaces import eisnet
from tune.spaces.base import Trial
from tune.spaces.generalisation import choose_pair


def space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """`eisnet` with references."""
    return {**eisnet.space(trial, features), **choose_pair(trial)}
