"""Whose statistics a backbone's BatchNorms take: the pretrained ones, the references' own, or both."""

import dataclasses
import functools
import re
from typing import TYPE_CHECKING, Literal

from dgad.errors import SettingsError
from dgad.settings import require

if TYPE_CHECKING:  # a command that only reads settings waits for neither timm nor torch
    from dgad.features.statistics import Adaptation

NormalisationKind = Literal["auto", "pretrained", "references", "blend", "first"]

DEFAULT_NORMALISATION = "auto"
_FIRST_SHARE, _FLAT_RATIO = 0.75, 0.05
"""What `first` does; measured (docs/lab/log.md)."""
_EXAMPLES = (
    "`auto`, `pretrained`, `references`, `first` (the references' in the first BatchNorm alone) or `blend A`"
    " (A above 0 and below 1, the references' share)"
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Normalisation:
    """What `parse_normalisation` reads from text."""

    kind: NormalisationKind
    share: float = 1.0
    """Of the references' statistics, under `blend`."""

    def on(self, backbone: str) -> "Adaptation | None":
        """What it is on that backbone; None: nothing of the references, as `auto` is without BatchNorm.

        Raises `SettingsError` where anything else is asked of a backbone without BatchNorm.
        """
        from dgad.features.statistics import Adaptation

        if self.kind == "pretrained" or (self.kind == "auto" and not has_batch_norm(backbone)):
            return None
        if not has_batch_norm(backbone):
            raise SettingsError(
                f"`normalisation` {self} takes statistics of the references into BatchNorm layers, but"
                f" backbone `{backbone}` has none: use `pretrained` or `auto`, or a backbone with BatchNorm"
                " such as resnet18."
            )
        if self.kind in ("auto", "first"):
            return Adaptation(share=_FIRST_SHARE, only_first=True, flat_ratio=_FLAT_RATIO)
        return Adaptation(share=self.share)

    def describe(self, backbone: str) -> str:
        """Whose statistics they are, in a few words for people."""
        adaptation = self.on(backbone)
        if adaptation is None:
            return "the statistics of its training"
        if adaptation.only_first:
            return "the statistics of the references in its first layer"
        if adaptation.share == 1:
            return "the statistics of the references"
        return f"statistics of which the references have a share of {adaptation.share:g}"

    def __str__(self) -> str:
        return f"blend {self.share:g}" if self.kind == "blend" else self.kind


def parse_normalisation(text: str, name: str = "normalisation") -> Normalisation:
    """A normalisation from its text; `SettingsError` names the setting and what is allowed."""
    cleaned = " ".join(str(text).strip().lower().split())
    if cleaned == "auto":
        return Normalisation(kind="auto")
    if cleaned == "pretrained":
        return Normalisation(kind="pretrained")
    if cleaned == "references":
        return Normalisation(kind="references")
    if cleaned == "first":
        return Normalisation(kind="first")
    found = re.fullmatch(r"blend (\d*\.?\d+)", cleaned)
    if found is not None:
        share = float(found[1])
        require(0 < share < 1, name, "`blend A` with A above 0 and below 1", text)
        return Normalisation(kind="blend", share=share)
    raise SettingsError(f"`{name}` must be {_EXAMPLES}, but got {text!r}.")


@functools.cache
def has_batch_norm(name: str) -> bool:
    """Whether timm's model has BatchNorm layers, told without drawing a weight."""
    import timm
    import torch
    from torch import nn

    try:
        with torch.device("meta"):
            model = timm.create_model(name)
    except Exception:  # timm raises whatever the model's own code does; some cannot be built without numbers
        with torch.random.fork_rng(devices=[]):
            model = timm.create_model(name)
    return any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
