"""Photographs cut into tiles of a bounded size, for what looks at one tile at a time.

Training draws tiles, image classifiers score the worst one, reconstruction puts their error maps together.
An image that is no larger than a tile, with sides that networks take, is one tile: the image itself.
"""

# N tiles, H x W pixels of a tile, h x w of an image

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from dgad.domains.geometry import Geometry, map_size, map_stride
from dgad.domains.image_set import ImagesByIndex, ImageSet

_ALIGN_PX = 32
"""Sides of tiles are multiples of it: so coarse is the coarsest map."""
_PLACE_PX = 4
"""Tiles start at multiples of it, so that they meet the cells of every score map."""
_MAX_TILE_PX = 1024
"""A network is trained on no larger image at once, whatever `tile_px` says."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One tile of one image; where it goes beyond the image it is filled up by reflection."""

    image: int
    """Index of the image that it is of."""
    top: int
    left: int
    height: int
    width: int


def run_by_shape(
    network: Callable[[Tensor], Sequence[Tensor]], stacks: Sequence[Tensor]
) -> list[list[Tensor]]:
    """What the network gives for each of several stacks of images; one call for all of one shape."""
    return run_members_by_shape(lambda stack, members: network(stack), stacks)


def run_members_by_shape(
    network: Callable[[Tensor, Sequence[int]], Sequence[Tensor]], stacks: Sequence[Tensor]
) -> list[list[Tensor]]:
    """The same of a network that is told which stacks it is given, one after the other."""
    found: list[list[Tensor]] = [[] for _ in stacks]
    for shape in dict.fromkeys(s.shape[1:] for s in stacks):
        members = [i for i, s in enumerate(stacks) if s.shape[1:] == shape]
        outputs = network(torch.cat([stacks[i] for i in members]), members)
        sizes = [len(stacks[i]) for i in members]
        for i, *rows in zip(members, *(torch.split(output, sizes) for output in outputs), strict=True):
            found[i] = rows
    return found


def count_cells(alpha_NHW: Tensor, grid: Sequence[int]) -> Tensor:
    """Which cells (N, h, w) of a map of tiles have a pixel that counts."""
    stride = alpha_NHW.shape[-2] // grid[0]
    return F.max_pool2d(alpha_NHW.float()[:, None], stride)[:, 0] > 0


def tile_side_px(geometry: Geometry) -> int:
    """Side of the tiles that a geometry is trained on; under `squash N` the whole image is one."""
    return min(geometry.input_px, _MAX_TILE_PX)


def spread(length: int, tile_px: int, overlap_px: int = 0) -> tuple[int, ...]:
    """Where tiles start along a side of `length` px: evenly, so that every pixel is in one.

    Starts are multiples of 4 px, so the last tile may go up to 3 px beyond the side. Neighbours share at
    least `overlap_px`, a multiple of 4.
    """
    if length <= tile_px:
        return (0,)
    step = tile_px - overlap_px
    count = -(-(length - overlap_px) // step)
    return tuple(_up(-(-i * (length - tile_px) // (count - 1)), _PLACE_PX) for i in range(count))


class Tiles:
    """The tiles of some images, cut when they are asked for; those of which nothing counts are left out.

    With `common` all have one shape, that of the largest, so that any of them can be stacked; else those of
    one image have. With `square` all are filled up to squares of `tile_px`.
    """

    def __init__(
        self,
        images: ImageSet,
        tile_px: int,
        *,
        overlap_px: int = 0,
        common: bool = False,
        square: bool = False,
    ) -> None:
        self.source = images
        self._covered: dict[tuple[object, tuple[int, int]], npt.NDArray[np.bool_]] = {}
        shapes = [
            (tile_px, tile_px) if square else (_fit(height, tile_px), _fit(width, tile_px))
            for height, width in images.sizes
        ]
        if common and shapes:
            shapes = [(max(h for h, _ in shapes), max(w for _, w in shapes))] * len(shapes)
        tiles = []
        for index, ((h, w), (height, width)) in enumerate(zip(images.sizes, shapes, strict=True)):
            for top in spread(h, height, overlap_px):
                for left in spread(w, width, overlap_px):
                    tiles.append(Tile(image=index, top=top, left=left, height=height, width=width))
        self.tiles = tuple(t for t in tiles if self._has_inside(t))
        self.images = self._image_set()
        """The tiles as images of their own; those that are the whole of one keep its key."""

    def __len__(self) -> int:
        return len(self.tiles)

    def inside(self, index: int) -> npt.NDArray[np.bool_] | None:
        """Which pixels (H, W) of the tile count; None: all. Not those it is filled up with."""
        return self._inside(self.tiles[index])

    def of_grid(self, index: int, grid: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """What cells of the image's score map say of the tile's pixels (H, W), where these count."""
        tile = self.tiles[index]
        of_tile = _crop_grid(grid, self.source.sizes[tile.image], tile)
        inside = self._inside(tile)
        return of_tile if inside is None else of_tile & inside

    def alpha(self, indices: Sequence[int]) -> Tensor | None:
        """Which pixels of those tiles count, bool (N, H, W); None: all of all."""
        counts = [self.inside(i) for i in indices]
        if all(c is None for c in counts):
            return None
        height, width = self.images.sizes[indices[0]]
        return torch.stack(
            [
                torch.ones((height, width), dtype=torch.bool) if c is None else torch.from_numpy(c)
                for c in counts
            ]
        )

    def read(self, indices: Sequence[int]) -> Tensor:
        """Those tiles, uint8 (N, 3, H, W); with a fourth channel, 0 where nothing counts, if any has such."""
        pixels, alpha_NHW = self.images.take(indices).stack(), self.alpha(indices)
        if alpha_NHW is None:
            return pixels
        return torch.cat((pixels, alpha_NHW[:, None].to(torch.uint8) * 255), dim=1)

    def batches(self, size: int) -> Iterator[list[int]]:
        """Indices of all tiles in their order, at most `size` of one shape at a time."""
        batch: list[int] = []
        for index, tile in enumerate(self.tiles):
            shape = (tile.height, tile.width)
            if batch and (len(batch) == size or shape != self.images.sizes[batch[0]]):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _image_set(self) -> ImageSet:
        sizes = self.source.sizes
        whole = [(t.height, t.width) == sizes[t.image] for t in self.tiles]
        if all(whole) and len(self.tiles) == len(self.source):
            return self.source
        keys = [
            self.source.keys[t.image] + ("" if w else f"@{t.top},{t.left},{t.height}x{t.width}")
            for t, w in zip(self.tiles, whole, strict=True)
            if self.source.keys
        ]
        return ImageSet(images=_TileImages(self.source, self.tiles), keys=tuple(keys))

    def _has_inside(self, tile: Tile) -> bool:
        inside = self._inside(tile)
        return inside is None or bool(inside.any())

    def _inside(self, tile: Tile) -> npt.NDArray[np.bool_] | None:
        size = self.source.sizes[tile.image]
        region = self.source.region(tile.image)
        down, right = size[0] - tile.top, size[1] - tile.left
        if region is None and tile.height <= down and tile.width <= right:
            return None
        inside = np.zeros((tile.height, tile.width), dtype=np.bool_)
        inside[:down, :right] = True
        if region is not None:
            if (region, size) not in self._covered:
                self._covered[region, size] = region.counts(*map_size(*size))
            inside &= _crop_grid(self._covered[region, size], size, tile)
        return inside


class _TileImages(ImagesByIndex):
    """Tiles as lazily decoded images; the photograph that was cut last is kept."""

    def __init__(self, source: ImageSet, tiles: Sequence[Tile]) -> None:
        self._source, self._tiles = source, tiles
        self._last: tuple[int, Tensor] | None = None

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return tuple((tile.height, tile.width) for tile in self._tiles)

    def __len__(self) -> int:
        return len(self._tiles)

    def make(self, index: int) -> Tensor:
        """Cut the tile out of its photograph."""
        tile = self._tiles[index]
        last = self._last
        if last is None or last[0] != tile.image:
            last = self._last = (tile.image, self._source.images[tile.image])
        return _cut(last[1], tile)


def _cut(image_3hw: Tensor, tile: Tile) -> Tensor:
    height, width = image_3hw.shape[1:]
    part = image_3hw[:, tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
    if part.shape[1:] == (tile.height, tile.width):
        return part
    rows = _reflect(tile.top, tile.height, height)
    return image_3hw[:, rows][:, :, _reflect(tile.left, tile.width, width)]


def _reflect(start: int, count: int, length: int) -> Tensor:
    """Which of `length` places stand at `count` ones from `start` on, mirrored at the border's pixel."""
    place = torch.arange(start, start + count) % max(1, 2 * (length - 1))
    return torch.minimum(place, 2 * (length - 1) - place).clamp_min(0)


def _crop_grid(grid: npt.NDArray[np.bool_], size: tuple[int, int], tile: Tile) -> npt.NDArray[np.bool_]:
    """Cells of a score map at every pixel of a tile; beyond the image its last ones."""
    stride = map_stride(*size)
    rows = np.minimum((tile.top + np.arange(tile.height)) // stride, grid.shape[0] - 1)
    columns = np.minimum((tile.left + np.arange(tile.width)) // stride, grid.shape[1] - 1)
    return np.asarray(grid[rows[:, None], columns])


def _fit(side: int, tile_px: int) -> int:
    """The side of the tiles of an image of that side."""
    return tile_px if side >= tile_px else _up(side, _ALIGN_PX)


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
