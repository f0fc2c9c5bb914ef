"""Where in an image a pixel map is higher than normal."""

# S pixels of a map's side

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_MAX_REGIONS = 20
_TOUCHING = np.ones((3, 3), dtype=np.int8)  # diagonal neighbours belong together


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """A connected place of the image that no left-out normal reaches; pixels of the original image."""

    x: int
    y: int
    width: int
    height: int
    score: float
    """Highest pixel score inside."""


def regions(
    heat_SS: NDArray[np.float32], limit: float, *, width_px: int, height_px: int
) -> tuple[Region, ...]:
    """Boxes around the connected places where the map exceeds `limit`, the highest first, at most 20.

    In pixels of an image of that size, of which the map (S, S) is a picture: a box covers every pixel that
    its cells touch, and lies in the image.
    """
    marked = heat_SS > limit  # also false for a limit that is infinite
    labels, count = ndimage.label(marked, structure=_TOUCHING)
    if count == 0:
        return ()
    boxes = ndimage.find_objects(labels)
    # Within its box: `ndimage.maximum` would sort the whole map.
    peaks = [float(heat_SS[box][labels[box] == i].max()) for i, box in enumerate(boxes, 1)]
    highest = sorted(range(count), key=lambda i: (-peaks[i], i))[:_MAX_REGIONS]
    return tuple(
        _region(boxes[i], peaks[i], heat_SS.shape, width_px=width_px, height_px=height_px) for i in highest
    )


def _region(
    box: tuple[slice, slice], peak: float, shape: tuple[int, ...], *, width_px: int, height_px: int
) -> Region:
    rows, columns = box
    top, bottom = _stretched(rows, shape[0], height_px)
    left, right = _stretched(columns, shape[1], width_px)
    return Region(x=left, y=top, width=right - left, height=bottom - top, score=peak)


def _stretched(cells: slice, num_cells: int, size_px: int) -> tuple[int, int]:
    """First pixel and the one after the last that a range of cells touches."""
    return cells.start * size_px // num_cells, -(-cells.stop * size_px // num_cells)
