"""Source domains as methods train on them."""

# N images of one domain

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dgad.domains.base import Domain
from dgad.domains.geometry import Geometry
from dgad.domains.image_set import ImageSet
from dgad.domains.images import load_images, load_masks
from dgad.errors import DataError
from dgad.training.tiles import tile_side_px


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SourceDomain:
    """One source as methods train on it: its train normals and its labelled test images."""

    name: str
    images: ImageSet
    labels: Tensor
    """int64 (N,): 0 normal, 1 abnormal."""
    photographs: tuple[str, ...]
    """(N,): images with equal names were cut from one photograph, and never meet in an episode."""
    masks: tuple[npt.NDArray[np.bool_] | None, ...] = ()
    """(N,): defect cells on each image's `map_size` grid where that is known and needed; empty: of none."""


def load_source(domain: Domain, geometry: Geometry) -> SourceDomain:
    """Decode everything a source contributes to training.

    Masks are read of those abnormal images only of which a part may be normal: that are cut into several
    tiles, or have a region of interest.
    """
    samples = (*domain.train_normals, *domain.tests)
    source = source_from(domain, load_images(samples, geometry))
    tile_px = tile_side_px(geometry)
    wanted = [
        i
        for i, size in enumerate(source.images.sizes)
        if samples[i].label == 1 and (max(size) > tile_px or source.images.region(i) is not None)
    ]
    if not wanted:
        return source
    sizes = [source.images.sizes[i] for i in wanted]
    found = dict(zip(wanted, load_masks([samples[i] for i in wanted], sizes), strict=True))
    return dataclasses.replace(source, masks=tuple(found.get(i) for i in range(len(samples))))


def source_from(domain: Domain, images: ImageSet) -> SourceDomain:
    """The source that a domain is, from its decoded train normals and then its test images."""
    samples = (*domain.train_normals, *domain.tests)
    return SourceDomain(
        name=domain.name,
        images=images,
        labels=torch.tensor([s.label for s in samples], dtype=torch.int64),
        # Without word of where a crop comes from, equal bytes are one photograph.
        photographs=tuple(s.photograph or key for s, key in zip(samples, images.keys, strict=True)),
    )


def check_sources(sources: Sequence[SourceDomain]) -> None:
    """Raise `DataError` unless every source has two normals and a defect to learn from."""
    if not sources:
        raise DataError("At least 1 source domain is needed to train, but got 0.")
    for source in sources:
        num_abnormal = int(source.labels.sum())
        if num_abnormal == 0:
            raise DataError(
                f"Source `{source.name}` has no defects, so nothing can be learnt from it: leave it out of"
                " the sources, or add labelled defects to its test folder."
            )
        if len(source.images) - num_abnormal < 2:
            raise DataError(f"Source `{source.name}` needs at least 2 normal images, but has fewer.")
