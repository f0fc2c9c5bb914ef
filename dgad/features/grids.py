"""One value a patch of every image, filled block by block; none of what images are filled up with."""

# N images, B blocks of one shape, h x w cells of a block, H x W those of an image, C channels, K patches

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.domains.region import RegionOfInterest
from dgad.features.blocks import Placement
from dgad.features.frozen import Blocks


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PatchGrid:
    """The values of one image's patches."""

    values: Tensor
    """(H, W); NaN where nothing was filled in."""
    pitch_px: tuple[float, float]
    """Scaled pixels from one patch to the next, down and across."""
    counts: Tensor | None
    """bool (H, W), which patches lie in the region of interest; None: all."""

    @property
    def counted(self) -> Tensor:
        """The values that count, (K,)."""
        return self.values.flatten() if self.counts is None else self.values[self.counts]


class PatchGrids:
    """The grids of a set of images."""

    def __init__(self, images: ImageSet) -> None:
        self._cells = Cells(images)
        self._grids: list[PatchGrid | None] = [None] * len(images)

    def fill(self, blocks: Blocks, value_Bhw: Tensor) -> None:
        """Keep the values of cores."""
        for row, index in enumerate(blocks.images):
            part = self._cells.part(blocks, row, value_Bhw.shape[-2:])
            grid = self._grids[index]
            if grid is None:
                grid = PatchGrid(
                    values=torch.full(part.grid, torch.nan),
                    pitch_px=part.pitch_px,
                    counts=self._cells.counts(index, part.grid),
                )
                self._grids[index] = grid
            grid.values[part.rows, part.columns] = value_Bhw[row, : part.height, : part.width].cpu()

    def __getitem__(self, index: int) -> PatchGrid:
        grid = self._grids[index]
        assert grid is not None
        return grid

    def __len__(self) -> int:
        return len(self._grids)


class Cells:
    """Which cells of blocks are patches of the image itself, and inside its region of interest."""

    def __init__(self, images: ImageSet) -> None:
        self._images = images
        self._counts: dict[tuple[int, tuple[int, int]], Tensor | None] = {}

    def part(self, blocks: Blocks, row: int, cells: Sequence[int]) -> "_Part":
        """Where the cells (h, w) of a block's core lie in the grid of its image."""
        return _part(blocks.places[row], blocks.sizes[row], cells)

    def counts(self, index: int, grid: tuple[int, int]) -> Tensor | None:
        """Which cells of an image's grid lie in its region, bool (H, W); None: all."""
        region = self._images.region(index)
        if region is None:
            return None
        if (index, grid) not in self._counts:
            self._counts[index, grid] = covered_cells(region, grid)
        return self._counts[index, grid]

    def inside(self, blocks: Blocks, row: int, cells: Sequence[int]) -> Tensor:
        """Which cells of a block's core count, bool (h, w)."""
        part = self.part(blocks, row, cells)
        counts = self.counts(blocks.images[row], part.grid)
        found = torch.zeros(*cells, dtype=torch.bool)
        found[: part.height, : part.width] = True if counts is None else counts[part.rows, part.columns]
        return found

    def patches(self, blocks: Blocks, map_BChw: Tensor) -> list[Tensor]:
        """The patches (K, C) of every block that count; `map_BChw` has the cells of cores."""
        found = []
        for row in range(len(blocks)):
            inside = self.inside(blocks, row, map_BChw.shape[-2:]).to(map_BChw.device)
            patch_PC = map_BChw[row].flatten(1).t()
            found.append(patch_PC if bool(inside.all()) else patch_PC[inside.flatten()])
        return found


def covered_cells(region: RegionOfInterest, grid: tuple[int, int]) -> Tensor:
    """Cells of a grid over the image that a region lets count, bool (H, W); at least one."""
    return torch.from_numpy(np.ascontiguousarray(region.counts(*grid)))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """The part of an image's grid that a block's core fills."""

    grid: tuple[int, int]
    top: int
    left: int
    height: int
    width: int
    pitch_px: tuple[float, float]

    @property
    def rows(self) -> slice:
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.left + self.width)


def _part(place: Placement, size: tuple[int, int], cells: Sequence[int]) -> _Part:
    core = place.core
    rows = _side(core.top, core.height, int(cells[0]), size[0])
    columns = _side(core.left, core.width, int(cells[1]), size[1])
    return _Part(
        grid=(rows[0], columns[0]),
        top=rows[1],
        left=columns[1],
        height=rows[2],
        width=columns[2],
        pitch_px=(core.height / int(cells[0]), core.width / int(cells[1])),
    )


def _side(start_px: int, core_px: int, cells: int, image_px: int) -> tuple[int, int, int]:
    """Along one side: cells of the image, where the core's begin, and how many of those there are."""
    total = -(-image_px * cells // core_px)
    start = start_px * cells // core_px
    return total, start, min(cells, total - start)
