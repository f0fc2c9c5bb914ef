"""The search space of `epi_fcr_pair`."""

from typing import Any

from dgad.settings import FeatureSettings
from tune.spaces import epi_fcr
from tune.spaces.base import Trial
from tune.spaces.generalisation import choose_pair


def space(trial: Trial, features: FeatureSettings) -> dict[str, Any]:
    """`epi_fcr` with references."""
    return {**epi_fcr.space(trial, features), **choose_pair(trial)}
