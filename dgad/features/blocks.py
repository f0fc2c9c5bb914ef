"""Where a large image is cut, so that its maps are computed part by part and come out whole.

Of every block a *core* is answered for; cores lie side by side and cover the image. Maps are handed out on
the *given* window, the core and a margin of true cells around it, so that what a method does with them next
(means over neighbours, upsampling, a few convolutions) is right inside the core. The network is shown the
*seen* window: beyond the given one as much as its cells see, where the image goes on. At the image's own
border there is neither margin nor context: the network fills up as it does for an image computed whole.
"""

# h x w pixels of an image, in a coordinate along one side; K cells of any grid

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from dgad.domains.geometry import map_size
from dgad.domains.region import RegionOfInterest

BLOCK_PX = 2**20
"""Pixels that a network is shown at once, at most, unless its cells see very far."""
_MAX_BLOCK_PX = 2**22
_CONTEXT_SHARE = 8
"""A block's side is to be so many times the context on one side of it: the excess is then some 25%."""
_WINDOW_PX = 1024
"""Side of the windows of networks that look across the whole image, where it is larger than a block."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A rectangle of an image, in its pixels; it may go beyond the right and the lower border."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return self.right - self.left

    def __str__(self) -> str:
        return f"{self.top},{self.left},{self.bottom},{self.right}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """One block of an image: `core` within `given` within `seen`, see above."""

    core: Window
    given: Window
    seen: Window

    @property
    def shape(self) -> tuple[int, ...]:
        """Equal for blocks that can be computed, and worked on, in one batch."""
        given, core, seen = self.given, self.core, self.seen
        inner = given.top - seen.top, given.left - seen.left, given.height, given.width
        own = core.top - given.top, core.left - given.left, core.height, core.width
        return (seen.height, seen.width, *inner, *own)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Cutting:
    """By which rules images are cut for one network and one method."""

    align_px: int
    """Windows begin and end at multiples of this."""
    reach_px: int | None
    """What cells see beyond themselves; None: the whole image, so that blocks are only nearly right."""
    margin_px: int = 0
    """Of true cells around the core, in multiples of `align_px`."""
    overlap_px: int | None = None
    """Context asked for by the user, instead of what the network sees."""
    window_px: int | None = None
    """Side of the only square that the network takes."""
    stretches: bool = False
    """A square that is nearly `window_px` large is resized by the network itself."""

    @property
    def area_px(self) -> int:
        """Pixels of a seen window, at most."""
        around = self.context_px + self.margin_px
        return min(max((_CONTEXT_SHARE * around) ** 2, BLOCK_PX), _MAX_BLOCK_PX)

    @property
    def context_px(self) -> int:
        """Seen beyond what is given, where the image goes on."""
        wanted = self.overlap_px
        if wanted is None:
            wanted = (self.window_px or _WINDOW_PX) // 8 if self.reach_px is None else self.reach_px
        return up(wanted, self.align_px)


@functools.lru_cache(maxsize=256)
def cut_image(height: int, width: int, cutting: Cutting) -> tuple[Placement, ...]:
    """The blocks of an image, row by row; a single one where the image can be computed whole."""
    side = max(height, width)
    align, window = cutting.align_px, cutting.window_px
    if window is not None:
        if cutting.stretches and max(1, round(side / align)) * align == window:
            return (_whole(side, side),)
        rows: Sequence[_Span]
        columns: Sequence[_Span]
        rows, columns = (
            _window_spans(max(up(length, align), window), window, cutting) for length in (height, width)
        )
    else:
        tall, wide = up(height, align), up(width, align)
        if tall * wide <= BLOCK_PX:
            return (_whole(tall, wide),)
        if cutting.reach_px is None and cutting.overlap_px is None:
            rows, columns = (_window_spans(length, _WINDOW_PX, cutting) for length in (tall, wide))
        else:
            rows, columns = _cheapest(tall, wide, cutting)
    return tuple(
        Placement(
            core=_window(row.core, column.core),
            given=_window(row.given, column.given),
            seen=_window(row.seen, column.seen),
        )
        for row in rows
        for column in columns
    )


def cut_pixels(image_3hw: Tensor, window: Window) -> Tensor:
    """The window of an image (3, height, width), reflected at the right and lower border, however often."""
    _, height, width = image_3hw.shape
    if window.bottom > height:
        rows = image_3hw.index_select(1, _reflected(window.top, window.bottom, height))
    else:
        rows = image_3hw[:, window.top : window.bottom]
    if window.right > width:
        return rows.index_select(2, _reflected(window.left, window.right, width))
    return rows[:, :, window.left : window.right].contiguous()  # so that the image need not stay


def up(number: int, multiple: int) -> int:
    """The next multiple that is not below the number."""
    return -(-number // multiple) * multiple


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Span:
    """The (start, stop) of a block's windows along one side."""

    core: tuple[int, int]
    given: tuple[int, int]
    seen: tuple[int, int]

    @property
    def length(self) -> int:
        return self.seen[1] - self.seen[0]


def _whole(height: int, width: int) -> Placement:
    window = Window(top=0, left=0, bottom=height, right=width)
    return Placement(core=window, given=window, seen=window)


def _window(rows: tuple[int, int], columns: tuple[int, int]) -> Window:
    return Window(top=rows[0], left=columns[0], bottom=rows[1], right=columns[1])


def _cheapest(height: int, width: int, cutting: Cutting) -> tuple[Sequence[_Span], Sequence[_Span]]:
    """The rows and columns of blocks that show the network the fewest pixels in all."""
    best: tuple[int, Sequence[_Span], Sequence[_Span]] | None = None
    for rows in _divisions(height, cutting):
        tallest = max(span.length for span in rows)
        for columns in _divisions(width, cutting):
            if tallest * max(span.length for span in columns) > cutting.area_px:
                continue
            total = sum(s.length for s in rows) * sum(s.length for s in columns)
            if best is None or total < best[0]:
                best = (total, rows, columns)
            break  # more columns only see more
    if best is None:  # cells that see so far that even single ones need more: then so be it
        rows, columns = list(_divisions(height, cutting))[-1], list(_divisions(width, cutting))[-1]
        return rows, columns
    return best[1], best[2]


def _divisions(length: int, cutting: Cutting) -> Iterator[list[_Span]]:
    """A side in one part, in two, ..., down to parts that are small against their context."""
    around = cutting.context_px + cutting.margin_px
    smallest = max(cutting.align_px, around // 2)
    for parts in range(1, max(1, length // smallest) + 1):
        yield _equal_spans(length, parts, cutting)


def _equal_spans(length: int, parts: int, cutting: Cutting) -> list[_Span]:
    num_cells = length // cutting.align_px
    bounds = [i * num_cells // parts * cutting.align_px for i in range(parts + 1)]
    spans = []
    for core in itertools.pairwise(bounds):
        given = _wider(core, cutting.margin_px, length)
        spans.append(_Span(core=core, given=given, seen=_wider(given, cutting.context_px, length)))
    return spans


def _window_spans(length: int, window: int, cutting: Cutting) -> list[_Span]:
    """Windows of one size, the last one moved back to end with the image."""
    if length <= window:
        return [_Span(core=(0, length), given=(0, length), seen=(0, length))]
    context = max(cutting.context_px, cutting.margin_px)
    context = min(context, (window - cutting.align_px) // 2 // cutting.align_px * cutting.align_px)
    step = window - 2 * context
    starts = [*range(0, length - window, step), length - window]
    bounds = [0, *(start + context for start in starts[1:]), length]
    spans = []
    for start, core in zip(starts, itertools.pairwise(bounds), strict=True):
        margin = _wider(core, cutting.margin_px, length)
        given = max(margin[0], start), min(margin[1], start + window)
        spans.append(_Span(core=core, given=given, seen=(start, start + window)))
    return spans


def _wider(span: tuple[int, int], by: int, length: int) -> tuple[int, int]:
    return max(0, span[0] - by), min(length, span[1] + by)


def _reflected(start: int, stop: int, length: int) -> Tensor:
    """Indices below `length` of the places from start to stop, the border itself not repeated."""
    place = torch.arange(start, stop)
    if length == 1:
        return torch.zeros_like(place)
    folded = place % (2 * (length - 1))
    return torch.minimum(folded, 2 * (length - 1) - folded)


def keep_touched(
    places: Sequence[Placement],
    size: tuple[int, int],
    region: RegionOfInterest | None,
    strides: Sequence[int],
) -> tuple[Placement, ...]:
    """The blocks of an image of that size whose core a region touches, or comes near: at least one.

    A cell of any level or of the score map that counts, and the cells around it that its value is
    interpolated from, lie in one of them.
    """
    if region is None or len(places) == 1:
        return tuple(places)
    near_px = 2 * max(strides)
    grids = [map_size(*size), *((-(-size[0] // stride), -(-size[1] // stride)) for stride in strides)]
    counted = []
    for height, width in grids:
        rows, columns = np.nonzero(region.counts(height, width))
        counted.append((rows * size[0] / height, columns * size[1] / width))
    top_K, left_K = (np.concatenate(sides) for sides in zip(*counted, strict=True))

    def is_touched(core: Window) -> bool:
        beside_K = (top_K >= core.top - 2 * near_px) & (top_K < core.bottom + near_px)
        beside_K &= (left_K >= core.left - 2 * near_px) & (left_K < core.right + near_px)
        return bool(beside_K.any())

    return tuple(place for place in places if is_touched(place.core))
