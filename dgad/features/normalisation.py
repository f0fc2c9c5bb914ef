"""Whose statistics a backbone's BatchNorms take: the pretrained ones, the references' own, or both."""

import dataclasses
import functools
import re
from typing import Literal

import timm
import torch
from torch import nn

from dgad.errors import SettingsError
from dgad.settings import require

NormalisationKind = Literal["auto", "pretrained", "references", "blend"]

DEFAULT_NORMALISATION = "auto"
_AUTO_SHARE = 0.0
"""What `auto` does on a network with BatchNorm."""
_EXAMPLES = "`auto`, `pretrained`, `references` or `blend A` (A above 0 and below 1, the references' share)"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Normalisation:
    """The share of the references' statistics; `parse_normalisation` reads it from text."""

    kind: NormalisationKind
    share: float
    """0 to 1: how far means and variances are moved from the pretrained ones to those of the references. Of
    `auto` where the network has BatchNorm."""

    def share_on(self, backbone: str) -> float:
        """The share on that backbone; `auto` is 0 on one without BatchNorm, others are refused there.

        Raises `SettingsError`.
        """
        if self.share == 0 or has_batch_norm(backbone):
            return self.share
        if self.kind == "auto":
            return 0.0
        raise SettingsError(
            f"`normalisation` {self} takes statistics of the references into BatchNorm layers, but backbone"
            f" `{backbone}` has none: use `pretrained` or `auto`, or a backbone with BatchNorm such as"
            " resnet18."
        )

    def describe(self, backbone: str) -> str:
        """Whose statistics they are, in a few words for people."""
        share = self.share_on(backbone)
        if share in (0, 1):
            return "the statistics of the references" if share else "the statistics of its training"
        return f"statistics of which the references have a share of {share:g}"

    def __str__(self) -> str:
        return f"blend {self.share:g}" if self.kind == "blend" else self.kind


def parse_normalisation(text: str, name: str = "normalisation") -> Normalisation:
    """A normalisation from its text; `SettingsError` names the setting and what is allowed."""
    cleaned = " ".join(str(text).strip().lower().split())
    if cleaned == "auto":
        return Normalisation(kind="auto", share=_AUTO_SHARE)
    if cleaned == "pretrained":
        return Normalisation(kind="pretrained", share=0.0)
    if cleaned == "references":
        return Normalisation(kind="references", share=1.0)
    found = re.fullmatch(r"blend (\d*\.?\d+)", cleaned)
    if found is not None:
        share = float(found[1])
        require(0 < share < 1, name, "`blend A` with A above 0 and below 1", text)
        return Normalisation(kind="blend", share=share)
    raise SettingsError(f"`{name}` must be {_EXAMPLES}, but got {text!r}.")


@functools.cache
def has_batch_norm(name: str) -> bool:
    """Whether timm's model has BatchNorm layers, told without drawing a weight."""
    try:
        with torch.device("meta"):
            model = timm.create_model(name)
    except Exception:  # timm raises whatever the model's own code does; some cannot be built without numbers
        with torch.random.fork_rng(devices=[]):
            model = timm.create_model(name)
    return any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
