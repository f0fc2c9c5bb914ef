"""A second backbone whose levels join those of the first, read from text: `NAME WEIGHTS STRIDES`."""

import dataclasses
import re

from dgad.errors import SettingsError

NO_SECOND = "none"
_EXAMPLE = "`NAME WEIGHTS STRIDES` such as `tf_efficientnet_lite0 imagenet 8+16`"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SecondBackbone:
    """A timm model, its weights and which of its levels are taken."""

    backbone: str
    weights: str
    """As those of the first."""
    strides: tuple[int, ...]
    """Stride in px of each level, finest first."""

    def __str__(self) -> str:
        return f"{self.backbone} {self.weights} {'+'.join(map(str, self.strides))}"


def parse_second(text: str, name: str = "second_backbone") -> SecondBackbone | None:
    """The second backbone, None for `none`; `SettingsError` names the setting and what is allowed."""
    cleaned = " ".join(str(text).split())
    if cleaned == NO_SECOND:
        return None
    found = re.fullmatch(r"(\S+) (.+) (\d+(?:\+\d+)*)", cleaned)
    if found is None:
        raise SettingsError(f"`{name}` must be `none` or {_EXAMPLE}, but got {text!r}.")
    strides = tuple(map(int, found[3].split("+")))
    if list(strides) != sorted(set(strides)):
        raise SettingsError(f"`{name}` must have its strides finest first and each once, but got {text!r}.")
    return SecondBackbone(backbone=found[1], weights=found[2], strides=strides)
