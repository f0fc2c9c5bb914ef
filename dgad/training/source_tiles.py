"""Source domains in tiles: what is known of each, and whose label only their photograph has.

A normal image's tiles are normal. Of an abnormal image with a mask every tile is known: abnormal if enough
of the defect is in it, normal if nothing is. Without a mask its label is that of the *set* of its tiles,
the bag: at least one of them is abnormal.
"""

# N tiles of one domain

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dgad.errors import DataError
from dgad.training.sources import SourceDomain, check_sources
from dgad.training.tiles import Tiles

_NOT_KNOWN = -1
_MIN_DEFECT_PX = 16
"""Scaled pixels of a defect that make a tile abnormal: a cell of the finest map. A tile with fewer is
neither: it is not drawn, unless its image has none with more."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SourceTiles:
    """One source as episodes are drawn from it."""

    name: str
    tiles: Tiles
    """All of one shape."""
    labels: Tensor
    """int64 (N,): 0 normal, 1 abnormal, -1 not known."""
    photographs: tuple[str, ...]
    """(N,): tiles of one photograph are never each other's references."""
    can_refer: npt.NDArray[np.bool_]
    """(N,): tiles of normal images, from which references are drawn."""
    defects: tuple[tuple[int, ...], ...]
    """Of every abnormal image the tiles that are abnormal, or all of them where that is not known: a bag."""

    def is_bag(self, defect: int) -> bool:
        """Whether of these tiles of an abnormal image it is not known which are abnormal."""
        return bool(self.labels[self.defects[defect][0]] == _NOT_KNOWN)


def cut_sources(
    sources: Sequence[SourceDomain], tile_px: int, *, square: bool = False
) -> tuple[SourceTiles, ...]:
    """Every source in tiles; raises `DataError` for one that nothing can be learnt from."""
    check_sources(sources)
    return tuple(_cut(source, tile_px, square) for source in sources)


def _cut(source: SourceDomain, tile_px: int, square: bool) -> SourceTiles:
    tiles = Tiles(source.images, tile_px, common=True, square=square)
    of_image: list[list[int]] = [[] for _ in range(len(source.images))]
    for index, tile in enumerate(tiles.tiles):
        of_image[tile.image].append(index)
    labels = torch.zeros(len(tiles), dtype=torch.int64)
    defects = []
    for image in np.flatnonzero(source.labels.numpy() == 1).tolist():
        own = of_image[image]
        mask = source.masks[image] if source.masks else None
        labels[own] = torch.tensor(_labels_of(tiles, own, mask), dtype=torch.int64)
        abnormal = tuple(i for i in own if labels[i] == 1) or tuple(i for i in own if labels[i] == _NOT_KNOWN)
        if abnormal:
            defects.append(abnormal)
    owners = [tile.image for tile in tiles.tiles]
    if not defects:
        raise DataError(
            f"Source `{source.name}` has no defect inside its region of interest, so nothing can be learnt"
            " from it: draw the region larger, or leave it out of the sources."
        )
    return SourceTiles(
        name=source.name,
        tiles=tiles,
        labels=labels,
        photographs=tuple(source.photographs[owner] for owner in owners),
        can_refer=source.labels.numpy()[owners] == 0,
        defects=tuple(defects),
    )


def _labels_of(tiles: Tiles, own: Sequence[int], mask: npt.NDArray[np.bool_] | None) -> list[int]:
    """What is known of every tile of an abnormal image."""
    if mask is None:
        return [1 if len(own) == 1 else _NOT_KNOWN] * len(own)
    num_marked = [int(tiles.of_grid(index, mask).sum()) for index in own]
    limit = min(_MIN_DEFECT_PX, max(num_marked))
    return [0 if n == 0 else 1 if n >= limit else _NOT_KNOWN for n in num_marked]
