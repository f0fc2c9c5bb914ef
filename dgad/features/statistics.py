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


def blend(pretrained: Tensor, measured: Tensor, share: float) -> Tensor:
    """Means, or variances, of which the measured ones have the given share."""
    return torch.lerp(pretrained, measured, share)


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
