"""Features that a study searches: lists of scales, tiles and backbones that become part of a configuration.

A configuration is one flat mapping: the complete settings of a method, and beside them, only where the study
searches it, the `backbone`, `scale`, `tile_px` and `normalisation` that the trial chose. No method has
settings so called.
"""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dgad.domains.geometry import Geometry, parse_scale
from dgad.errors import SettingsError, UserError
from dgad.features.normalisation import parse_normalisation
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS

NAMES = ("backbone", "scale", "tile_px", "normalisation")
"""Names of what can be searched, in the order in which a configuration chooses it."""
_PLUS = " + "
"""Between two backbones that are joined."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FeatureLists:
    """What a study searches of its features, a list each; `SettingsError` for one of fewer than two."""

    backbone: tuple[str, ...] = ()
    """`NAME`, with the study's weights, or `NAME WEIGHTS`; with ` + NAME WEIGHTS STRIDES` also a second."""
    scale: tuple[str, ...] = ()
    tile_px: tuple[int, ...] = ()
    normalisation: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, values in self.choices.items():
            same = [_canonical(name, value) for value in values]
            for position, value in enumerate(same):
                if value in same[:position]:
                    raise SettingsError(f"`search_{name}` must be without repetition, but has {value} twice.")
            if len(values) == 1:
                raise SettingsError(
                    f"`search_{name}` must have at least two values to choose from, but has only {values[0]}:"
                    f" give that as `{name}`."
                )

    @property
    def choices(self) -> dict[str, tuple[str | int, ...]]:
        """The lists that are there, by the name of what they choose."""
        return {name: values for name in NAMES if (values := getattr(self, name))}

    def combinations(self) -> Iterator[dict[str, str | int]]:
        """Every choice of one value a list; one empty choice where nothing is searched."""
        choices = self.choices
        for values in itertools.product(*choices.values()):
            yield dict(zip(choices, values, strict=True))


def _canonical(name: str, value: Any) -> str:
    if name == "scale":
        return str(parse_scale(value, "search_scale"))
    if name == "normalisation":
        return str(parse_normalisation(value, "search_normalisation"))
    if name == "tile_px":
        with _called("search_tile_px", "tile_px"):
            return str(Geometry(tile_px=value).tile_px)
    return " ".join(str(value).split())


@contextlib.contextmanager
def _called(name: str, usual: str) -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise SettingsError(str(error).replace(f"`{usual}`", f"`{name}`")) from None


def choose_features(features: FeatureSettings, chosen: Mapping[str, Any]) -> FeatureSettings:
    """A study's features with what a configuration chose of them."""
    changes = {name: chosen[name] for name in NAMES if name in chosen}
    if "backbone" in changes:
        first, plus, second = str(changes["backbone"]).strip().partition(_PLUS)
        backbone, _, weights = first.strip().partition(" ")
        changes |= {"backbone": backbone, **({"weights": weights.strip()} if weights.strip() else {})}
        changes |= {"second_backbone": second.strip()} if plus else {}
    return dataclasses.replace(features, **changes) if changes else features


def split_configuration(configuration: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(settings of the method, what was chosen of the features)."""
    settings = {name: value for name, value in configuration.items() if name not in NAMES}
    return settings, {name: configuration[name] for name in NAMES if name in configuration}


def describe_choice(chosen: Mapping[str, Any]) -> str:
    """What was chosen of the features, in a few words."""
    return ", ".join(f"{name} {chosen[name]}" for name in NAMES if name in chosen)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MethodChoices:
    """What of a study's lists a method can be had on."""

    lists: Mapping[str, tuple[str | int, ...]]
    """At least one value each; of one the trial is asked nothing."""
    left_out: Mapping[str, str]
    """Why, by a choice such as `backbone test_vit`."""

    def combinations(self) -> Iterator[dict[str, str | int]]:
        """Every choice of one value a list."""
        for values in itertools.product(*self.lists.values()):
            yield dict(zip(self.lists, values, strict=True))


@functools.cache
def find_method_choices(method: str, features: FeatureSettings, lists: FeatureLists) -> MethodChoices:
    """The values of a study's lists that a method can be had on, whatever is chosen beside them.

    A value that it can be had with in no combination is left out. One that it cannot be had on at all
    keeps its lists, since it is refused as a whole. Raises `SettingsError` where a combination of the others
    cannot be had.
    """
    reasons = [(c, _why_not(method, choose_features(features, c))) for c in lists.combinations()]
    if all(reason for _, reason in reasons):
        return MethodChoices(lists=lists.choices, left_out={})
    left_out: dict[str, str] = {}
    kept: dict[str, tuple[str | int, ...]] = {}
    for name, values in lists.choices.items():
        for value in values:
            own = [reason for chosen, reason in reasons if chosen[name] == value]
            if all(own):
                left_out[f"{name} {value}"] = str(own[0])
        kept[name] = tuple(v for v in values if f"{name} {v}" not in left_out)
    for chosen, reason in reasons:
        if reason and all(chosen[name] in values for name, values in kept.items()):
            raise SettingsError(
                f"`{method}` can be had on each of the features that are searched, but not on all of them"
                f" together: {describe_choice(chosen)}: {reason}"
            )
    return MethodChoices(lists=kept, left_out=left_out)


def _why_not(method: str, features: FeatureSettings) -> str | None:
    """Why the method cannot be had on the features with any of its presets; None where it can."""
    first: str | None = None
    for preset in METHODS[method].presets.values():
        try:
            METHODS[method].check_features(preset, features)
        except UserError as error:
            first = first or str(error)
        else:
            return None
    return first


def name_variants(
    asked: Sequence[Mapping[str, tuple[Any, ...]]],
) -> dict[tuple[str, tuple[Any, ...]], str]:
    """Parameter names for questions that have other choices on other features.

    `asked` holds the categorical questions of a space, one mapping for each combination of features. Optuna
    takes one list of choices a name, so a further list gets a name that tells it.
    """
    first: dict[str, tuple[Any, ...]] = {}
    names = {}
    for questions in asked:
        for name, choices in questions.items():
            if first.setdefault(name, choices) != choices:
                names[name, choices] = f"{name} ({', '.join(map(str, choices))})"
    return names
