"""Native crops of a photograph: where a method scores highest, and where the labelled defect is."""

# H x W pixels of the photograph, h x w cells of the map over it

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dgad.domains.base import Sample
from dgad.domains.decoding import decode_image, decode_mask
from dgad.errors import ImageError
from dgad.evaluation.heatmaps import Floats, join_panels, outline, overlay, png_bytes

CROP_PX = 176
"""Side of a crop: four of them fit the page beside each other without being made smaller."""
SHOWN_WHOLE_PX = 240
"""A photograph of no longer side is shown whole at its own size: a crop would add nothing."""
_Bytes = NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Crops:
    """A picture of native crops, and what it shows."""

    png: bytes
    told: str
    """Such as `native pixels around the highest score at 812, 430 and around the labelled defect at ...`."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Box:
    """Part of a photograph, in its pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]

    def on_grid(
        self, photograph: tuple[int, int], grid: tuple[int, int]
    ) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in cells of a grid over the photograph of (height, width)."""
        down, across = grid[0] / photograph[0], grid[1] / photograph[1]
        right, bottom = self.left + self.width, self.top + self.height
        return self.left * across, self.top * down, right * across, bottom * down


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Photograph:
    """A photograph as the camera gave it."""

    image: NDArray[np.uint8]
    """(H, W, 3)."""
    mask: NDArray[np.bool_] | None
    """(H, W): the labelled defect; None where it is not known."""


def read_photograph(sample: Sample) -> Photograph | None:
    """Decode a sample at its own pixels; None where it can no longer be read."""
    try:
        decoded = decode_image(sample.image.read(), sample.image.path, bit_depth=sample.image.bit_depth)
        mask = decode_mask(sample.mask.read(), sample.mask.path) if sample.mask is not None else None
    except (ImageError, OSError):
        return None
    image = np.asarray(decoded, dtype=np.uint8)
    return Photograph(image=image, mask=mask if mask is not None and mask.shape == image.shape[:2] else None)


def make_crops(photograph: Photograph, heat_hw: Floats | None, *, low: float, high: float) -> Crops | None:
    """Crops at the photograph's own pixels, each also with the map over it.

    None for a small photograph, and where there is nothing to crop to.
    """
    image, mask = photograph.image, photograph.mask
    size = image.shape[:2]
    if max(size) <= SHOWN_WHOLE_PX:
        return None
    panels: list[_Bytes] = []
    told = []
    places = [("the highest score", None if heat_hw is None else _find_peak(heat_hw, size))]
    places.append(("the labelled defect", None if mask is None else _find_defect(mask)))
    for what, centre in places:
        if centre is None:
            continue
        box = _crop_around(centre, size)
        crop = np.ascontiguousarray(box.of(image)).astype(np.uint8)
        panels.append(crop if mask is None else outline(crop, box.of(mask).astype(bool)))
        if heat_hw is not None:
            on_map = box.on_grid((size[0], size[1]), (heat_hw.shape[0], heat_hw.shape[1]))
            panels.append(overlay(crop, heat_hw, low=low, high=high, box=on_map))
        told.append(f"around {what} at {centre[1]}, {centre[0]}")
    if not panels:
        return None
    return Crops(png=png_bytes(join_panels(panels)), told=f"native pixels {' and '.join(told)}")


def _find_peak(heat_hw: Floats, size: tuple[int, ...]) -> tuple[int, int] | None:
    """The pixel (row, column) of the photograph under the highest cell; None where no cell is scored."""
    if not np.isfinite(heat_hw).any():
        return None
    row, column = np.unravel_index(int(np.nanargmax(heat_hw)), heat_hw.shape)
    return (
        int((row + 0.5) * size[0] / heat_hw.shape[0]),
        int((column + 0.5) * size[1] / heat_hw.shape[1]),
    )


def _find_defect(mask_HW: NDArray[np.bool_]) -> tuple[int, int] | None:
    """The middle (row, column) of the largest connected defect's box; None where none is marked."""
    labels_HW, count = ndimage.label(mask_HW, structure=np.ones((3, 3), dtype=np.int8))
    if count == 0:
        return None
    largest = 1 + int(np.argmax(np.bincount(labels_HW[labels_HW > 0], minlength=count + 1)[1:]))
    rows, columns = ndimage.find_objects(labels_HW)[largest - 1]
    return (rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2


def _crop_around(centre: tuple[int, int], size: tuple[int, ...]) -> _Box:
    height, width = min(CROP_PX, size[0]), min(CROP_PX, size[1])
    top = min(max(0, centre[0] - height // 2), size[0] - height)
    left = min(max(0, centre[1] - width // 2), size[1] - width)
    return _Box(left, top, width, height)
