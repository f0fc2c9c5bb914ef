"""The statistics that the BatchNorms of a backbone normalise one surface with."""

# G groups, C channels of all BatchNorms together

import dataclasses
import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

_MEAN, _VARIANCE = "norm.mean", "norm.variance"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Statistics:
    """Mean and variance of every channel that is normalised, layer after layer.

    As they are used: where the pretrained ones keep a share they hold it already. Equal where their digests
    are.
    """

    mean_C: Tensor
    variance_C: Tensor
    digest: str = dataclasses.field(init=False)
    """Hexadecimal, of all values."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", _digest(self.mean_C, self.variance_C))

    def to_tensors(self) -> dict[str, Tensor]:
        """As an enrolment keeps them."""
        return {_MEAN: self.mean_C, _VARIANCE: self.variance_C}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Statistics) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def statistics_of(tensors: Mapping[str, Tensor]) -> Statistics | None:
    """The statistics of an enrolment; None where it was made with the pretrained ones."""
    if _MEAN not in tensors:
        return None
    return Statistics(mean_C=tensors[_MEAN], variance_C=tensors[_VARIANCE])


def tensors_of(statistics: Statistics | None) -> dict[str, Tensor]:
    """The inverse: nothing for the pretrained ones."""
    return {} if statistics is None else statistics.to_tensors()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Adaptation:
    """How far BatchNorms take the statistics of references in place of the pretrained ones."""

    share: float
    """Above 0, at most 1: how far mean and variance are moved."""
    only_first: bool = False
    """The first BatchNorm alone; those behind it keep the pretrained statistics."""
    flat_ratio: float = 0.0
    """Where variances are less than so much of the pretrained ones, in the geometric mean over channels, the
    share shrinks in proportion: what is amplified on a surface so flat is mostly the camera's noise."""

    def blend(
        self, pretrained: tuple[Tensor, Tensor], measured: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Mean and variance of one layer, (C_l,) each."""
        share = self.share
        if self.flat_ratio > 0:
            ratio_C = measured[1].detach().clamp_min(1e-12) / pretrained[1].clamp_min(1e-12)
            share *= min(1.0, float(ratio_C.log().mean().exp()) / self.flat_ratio)
        return torch.lerp(pretrained[0], measured[0], share), torch.lerp(pretrained[1], measured[1], share)


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
