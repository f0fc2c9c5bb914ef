"""Every method under one contract, by name. A new method is one file and one line here."""

from typing import Any

from dgad.errors import SettingsError
from dgad.methods.agg import AggMethod, AggPairMethod
from dgad.methods.autoencoder import AutoencoderMethod
from dgad.methods.base import Method
from dgad.methods.comparer import ComparerMethod
from dgad.methods.contextual import ContextualMethod
from dgad.methods.eisnet import EisnetMethod, EisnetPairMethod
from dgad.methods.epi_fcr import EpiFcrMethod, EpiFcrPairMethod
from dgad.methods.memae import MemAEMethod
from dgad.methods.patch_knn import PatchKnnMethod
from dgad.methods.patchcore import PatchcoreMethod
from dgad.methods.trivial import TrivialMethod
from dgad.methods.trustmae import TrustMAEMethod
from dgad.settings import did_you_mean

METHODS: dict[str, type[Method]] = {
    "agg": AggMethod,
    "agg_pair": AggPairMethod,
    "autoencoder": AutoencoderMethod,
    "comparer": ComparerMethod,
    "contextual": ContextualMethod,
    "eisnet": EisnetMethod,
    "eisnet_pair": EisnetPairMethod,
    "epi_fcr": EpiFcrMethod,
    "epi_fcr_pair": EpiFcrPairMethod,
    "memae": MemAEMethod,
    "patch_knn": PatchKnnMethod,
    "patchcore": PatchcoreMethod,
    "trivial": TrivialMethod,
    "trustmae": TrustMAEMethod,
}

SHOWN_BESIDE = ("comparer:untrained", "patch_knn", "trivial")
"""The rows that every table of a comparer also has: they show what its training is worth."""


def parse_method(label: str) -> tuple[str, str, Any]:
    """`comparer` or `comparer:paper` as (name, preset, settings).

    Raises `SettingsError` for an unknown method or preset, naming those there are.
    """
    name, _, preset = label.strip().partition(":")
    if name not in METHODS:
        raise SettingsError(
            f"`method` must be one of {', '.join(sorted(METHODS))}, but got {name!r}."
            f"{did_you_mean(name, METHODS)}"
        )
    presets = METHODS[name].presets
    preset = preset or next(iter(presets))
    if preset not in presets:
        raise SettingsError(
            f"`method` {name} has the presets {', '.join(presets)}, but got {preset!r}."
            f"{did_you_mean(preset, presets)}"
        )
    return name, preset, presets[preset]


def method_label(name: str, preset: str) -> str:
    """The label that tables and records use: the name, with the preset unless it is the default."""
    return name if preset == next(iter(METHODS[name].presets)) else f"{name}:{preset}"
