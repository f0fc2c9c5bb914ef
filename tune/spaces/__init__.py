"""Search spaces: one function a method, from a trial and a study's features to settings.

Methods of a family share a module. A new method gets a function in the module of its family, or in one of its
own, and a line in `SPACES`.

Each parameter is called like the setting it chooses, so that a preset can be read back as a point of the
space (`tune.spaces.initial_design`). Parameters that others make meaningless are not asked for. No level is
coarser than stride 16: the builtin weights reach no further, and coarser levels have not earned their place.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Literal

from dgad.features.settings import FeatureSettings
from tune.spaces import comparer, generalisation, neighbours, reconstruction
from tune.spaces.base import FeatureSpace, SpaceFunction
from tune.spaces.narrowed import narrow_space
from tune.spaces.narrowing import Narrowing
from tune.spaces.walk import list_asked, walk

SpaceKind = Literal["full", "demo"]
"""`demo` is a smaller space of quick configurations."""

SPACES: Mapping[str, FeatureSpace] = {
    "agg": generalisation.agg_space,
    "agg_pair": generalisation.agg_pair_space,
    "autoencoder": reconstruction.autoencoder_space,
    "comparer": comparer.comparer_space,
    "eisnet": generalisation.eisnet_space,
    "eisnet_pair": generalisation.eisnet_pair_space,
    "epi_fcr": generalisation.epi_fcr_space,
    "epi_fcr_pair": generalisation.epi_fcr_pair_space,
    "memae": reconstruction.memae_space,
    "patch_knn": neighbours.patch_knn_space,
    "patchcore": neighbours.patchcore_space,
    "trivial": neighbours.trivial_space,
    "trustmae": reconstruction.trustmae_space,
}
DEMO_SPACES: Mapping[str, FeatureSpace] = {**SPACES, "comparer": comparer.comparer_demo_space}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SpaceSettings:
    """What a study decides of the spaces of its methods."""

    features: FeatureSettings
    kind: SpaceKind = "full"
    narrowings: Mapping[str, Narrowing] = dataclasses.field(default_factory=dict)
    """By method; the space of any other method is whole."""


def space_for(method: str, settings: SpaceSettings) -> SpaceFunction:
    """The space of a method, narrowed where the study says so."""
    whole = build_whole_space(method, settings.kind, settings.features)
    if method not in settings.narrowings:
        return whole
    asked = _list_asked_names(method, settings.kind, settings.features)
    return narrow_space(whole, settings.narrowings[method].restrictions, asked=asked)


def build_whole_space(method: str, kind: SpaceKind, features: FeatureSettings) -> SpaceFunction:
    """The space of a method as its module has it."""
    space = (DEMO_SPACES if kind == "demo" else SPACES)[method]
    return lambda trial: space(trial, features)


@functools.cache
def _list_asked_names(method: str, kind: SpaceKind, features: FeatureSettings) -> frozenset[str]:
    """The settings that the whole space asks for under any condition."""
    return frozenset(list_asked(tuple(walk(build_whole_space(method, kind, features)))))
