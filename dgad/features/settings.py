"""What every method of one experiment shares: the backbone, its weights, and how images are looked at."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from dgad.domains.geometry import DEFAULT_SCALE, DEFAULT_TILE_PX, Geometry
from dgad.features.normalisation import DEFAULT_NORMALISATION, parse_normalisation
from dgad.features.second import NO_SECOND, SecondBackbone, parse_second
from dgad.settings import from_dict, require

OLD_SIZE = "image_size_px"
"""What versions before geometry called the N of `squash N`."""
_FORMER_NAMES = (
    {"backbone", "weights", OLD_SIZE},
    {"backbone", "weights", "scale", "tile_px", "overlap_px"},
)
"""Everything that earlier versions wrote of features."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSettings:
    """The backbone, its weights and the geometry; raises `SettingsError` for a value out of range."""

    backbone: str = "resnet18"
    """Any timm model that gives a pyramid of feature maps (`features_only`)."""
    weights: str = "builtin"
    """`builtin` (ship with dgad, learnt from procedural images), `imagenet` (of `tf_efficientnet_lite0` to
    2, in the packages of the extra `dgad[imagenet]`), `none` (random, seeded), `timm` (fetched from the
    hub), or the path of a .safetensors file."""
    scale: str = DEFAULT_SCALE
    """`auto`, `native`, a factor (output pixels per input pixel), `fit N` (longer side), or `squash N`."""
    tile_px: int = DEFAULT_TILE_PX
    """Side of the tiles that training draws and transformers see, in scaled pixels; a multiple of 32."""
    overlap_px: int | None = None
    """Context that a tile's features are given on each side; null: as much as the network can see."""
    normalisation: str = DEFAULT_NORMALISATION
    """Whose statistics BatchNorm takes in methods that compare with references: `auto`, `pretrained`,
    `references`, `first` (theirs in the first layer alone), or `blend A` with A the references' share."""
    second_backbone: str = NO_SECOND
    """A further backbone whose levels join those of the first in one memory: `NAME WEIGHTS STRIDES`, such
    as `tf_efficientnet_lite0 imagenet 8+16`; `none` for none. For `patch_knn`."""

    def __post_init__(self) -> None:
        Geometry(scale=self.scale, tile_px=self.tile_px, overlap_px=self.overlap_px)  # checks them
        parse_second(self.second_backbone)
        parse_normalisation(self.normalisation)
        require(bool(self.backbone), "backbone", "the name of a timm model", self.backbone)
        require(bool(self.weights), "weights", "none, builtin, imagenet, timm or a file", self.weights)

    @property
    def geometry(self) -> Geometry:
        """At what scale photographs are looked at, and in what tiles."""
        return Geometry(scale=self.scale, tile_px=self.tile_px, overlap_px=self.overlap_px)

    @property
    def second(self) -> SecondBackbone | None:
        """The second backbone, where there is one."""
        return parse_second(self.second_backbone)

    @property
    def each(self) -> tuple["FeatureSettings", ...]:
        """The same with each of the backbones alone, the first one first."""
        first, second = dataclasses.replace(self, second_backbone=NO_SECOND), self.second
        if second is None:
            return (first,)
        return first, dataclasses.replace(first, backbone=second.backbone, weights=second.weights)

    @property
    def drawn(self) -> "FeatureSettings":
        """The same with drawn weights, for a method that is given others at once."""
        second = self.second
        text = str(dataclasses.replace(second, weights="none")) if second else NO_SECOND
        return dataclasses.replace(self, weights="none", second_backbone=text)


def read_features(values: Mapping[str, Any], *, where: str = "") -> FeatureSettings:
    """Settings from a mapping; also those that earlier versions wrote, with `image_size_px: N`.

    Raises `SettingsError` as `from_dict` does.
    """
    return from_dict(FeatureSettings, migrate_features(values), where=where)


def migrate_features(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values as this version means them.

    Features that an earlier version wrote have all that it knew and no `normalisation`: the pretrained one.
    """
    migrated = migrate_size(values)
    if "normalisation" not in migrated and any(names <= set(values) for names in _FORMER_NAMES):
        migrated["normalisation"] = "pretrained"
    return migrated


def migrate_size(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values with `scale: squash N` for the `image_size_px: N` of earlier versions."""
    migrated = dict(values)
    size = migrated.pop(OLD_SIZE, None)
    if size is not None and "scale" not in migrated:
        migrated["scale"] = f"squash {size}"
    return migrated
