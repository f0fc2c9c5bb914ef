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
from typing import Any, Literal

from dgad.features.settings import FeatureSettings
from tune.spaces import comparer, contextual, generalisation, neighbours, reconstruction
from tune.spaces.base import FeatureSpace, SpaceFunction, Trial
from tune.spaces.features import (
    FeatureLists,
    MethodChoices,
    choose_features,
    find_method_choices,
    name_variants,
)
from tune.spaces.narrowed import narrow_space
from tune.spaces.narrowing import Narrowing
from tune.spaces.variants import VariantTrial
from tune.spaces.walk import CategoryQuestion, list_asked, walk

SpaceKind = Literal["full", "demo"]
"""`demo` is a smaller space of quick configurations."""

SPACES: Mapping[str, FeatureSpace] = {
    "agg": generalisation.agg_space,
    "agg_pair": generalisation.agg_pair_space,
    "autoencoder": reconstruction.autoencoder_space,
    "comparer": comparer.comparer_space,
    "contextual": contextual.contextual_space,
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
    lists: FeatureLists = dataclasses.field(default_factory=FeatureLists)
    """What of the features is searched too."""

    def choices_for(self, method: str) -> MethodChoices:
        """What of the searched features the method can be had on."""
        return find_method_choices(method, self.features, self.lists)


def space_for(method: str, settings: SpaceSettings) -> SpaceFunction:
    """The space of a method, narrowed where the study says so; with the features that are searched."""
    if not settings.lists.choices:
        return _space_on(method, settings, settings.features)
    choices = settings.choices_for(method)
    variants = _name_variants(method, settings.kind, settings.features, settings.lists)

    def space(trial: Trial) -> dict[str, Any]:
        chosen: dict[str, Any] = {
            name: values[0] if len(values) == 1 else trial.suggest_categorical(name, values)
            for name, values in choices.lists.items()
        }
        on_features = _space_on(method, settings, choose_features(settings.features, chosen))
        return {**on_features(VariantTrial(trial, variants)), **chosen}

    return space


def list_variants(method: str, settings: SpaceSettings) -> Mapping[str, tuple[str, ...]]:
    """The names under which a space asks for a setting whose choices depend on the features, by setting."""
    found: dict[str, tuple[str, ...]] = {}
    if settings.lists.choices:
        for (name, _), variant in _name_variants(
            method, settings.kind, settings.features, settings.lists
        ).items():
            found[name] = (*found.get(name, ()), variant)
    return found


def _space_on(method: str, settings: SpaceSettings, features: FeatureSettings) -> SpaceFunction:
    whole = build_whole_space(method, settings.kind, features)
    if method not in settings.narrowings:
        return whole
    asked = _list_asked_names(method, settings.kind, features)
    return narrow_space(whole, settings.narrowings[method].restrictions, asked=asked)


def build_whole_space(method: str, kind: SpaceKind, features: FeatureSettings) -> SpaceFunction:
    """The space of a method on given features, as its module has it."""
    space = (DEMO_SPACES if kind == "demo" else SPACES)[method]
    return lambda trial: space(trial, features)


@functools.cache
def _list_asked_names(method: str, kind: SpaceKind, features: FeatureSettings) -> frozenset[str]:
    """The settings that the whole space asks for under any condition."""
    return frozenset(list_asked(tuple(walk(build_whole_space(method, kind, features)))))


@functools.cache
def _name_variants(
    method: str, kind: SpaceKind, features: FeatureSettings, lists: FeatureLists
) -> dict[tuple[str, tuple[Any, ...]], str]:
    """See `name_variants`; by backbone, since no space depends on scale and tiles."""
    backbones = find_method_choices(method, features, lists).lists.get("backbone", ())
    asked = []
    for backbone in backbones:
        chosen = choose_features(features, {"backbone": backbone})
        walks = walk(build_whole_space(method, kind, chosen))
        questions = {name: q for walked in walks for name, q in walked.questions.items()}
        asked.append({n: q.choices for n, q in questions.items() if isinstance(q, CategoryQuestion)})
    return name_variants(asked)
