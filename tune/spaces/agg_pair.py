"""The search space of `agg_pair`."""

from typing import Any

from dgad.settings import FeatureSettings
from tune.spaces import agg
from tune.spaces.base import Trial
from tune.spaces.generalisation import choose_pair


def space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """`agg` with references."""
    return {**agg.space(trial, features), **choose_pair(trial)}
