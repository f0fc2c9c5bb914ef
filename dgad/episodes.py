"""Source domains as methods train on them, and the episodes drawn from them."""

# N images of one domain

import dataclasses

from torch import Tensor

from dgad.domains.image_set import ImageSet


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SourceDomain:
    """One source as methods train on it: its train normals and its labelled test images."""

    name: str
    images: ImageSet
    labels: Tensor
    """int64 (N,): 0 normal, 1 abnormal."""
    photographs: tuple[str, ...]
    """(N,): images with equal names were cut from one photograph, and never meet in an episode."""
