"""A region of interest: outside of it nothing is scored and nothing is enrolled."""

# H x W cells of any grid over a photograph

import base64
import binascii
import dataclasses
import functools
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dgad.errors import DataError

Corner = tuple[float, float]
_MAX_POLYGONS = 64
_MAX_CORNERS = 1024
_MAX_MASK_SIDE_PX = 2048
_MAX_MASK_BYTES = 2**18
_ASPECT_SLACK = 0.02
_DRAWN_PX = 256
"""Side of the grid on which every region has a cell."""
_SHOWN = '{"polygons": [[[x, y], [x, y], [x, y]]]} with x and y from 0 to 1'


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RegionOfInterest:
    """The part of every photograph of a domain that counts: the union of polygons, or a mask.

    Raises `DataError` for what is no region.
    """

    polygons: tuple[tuple[Corner, ...], ...] = ()
    """Corners (x, y) as fractions, 0 to 1, of the photograph's width and height."""
    mask_png: bytes | None = None
    """Instead of polygons: a PNG of the photograph's aspect ratio in which what counts is not black."""

    def __post_init__(self) -> None:
        if bool(self.polygons) == (self.mask_png is not None):
            raise DataError(f"A region of interest is either polygons or a mask: {_SHOWN}.")
        if len(self.polygons) > _MAX_POLYGONS or sum(map(len, self.polygons)) > _MAX_CORNERS:
            raise DataError(
                f"A region of interest has at most {_MAX_POLYGONS} polygons and {_MAX_CORNERS} corners; send"
                " a mask instead."
            )
        for polygon in self.polygons:
            if len(polygon) < 3:
                raise DataError(f"A polygon needs at least 3 corners, but one has {len(polygon)}.")
            for corner in polygon:
                if len(corner) != 2 or not all(math.isfinite(v) and 0 <= v <= 1 for v in corner):
                    raise DataError(f"A corner of a polygon is [x, y], each from 0 to 1, but got {corner}.")
        if self.mask_png is not None and len(self.mask_png) > _MAX_MASK_BYTES:
            raise DataError(
                f"The mask of a region of interest has {len(self.mask_png):,} bytes, more than"
                f" {_MAX_MASK_BYTES:,}: shrink it."
            )
        # Drawn small, so that what covers nothing is refused before anything is enrolled with it.
        if not self.covers(_DRAWN_PX, _DRAWN_PX).any():
            raise DataError("The region of interest covers nothing: draw it larger.")

    def covers(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """Which cells of a grid over the photograph have their centre inside, bool (height, width)."""
        if self.mask_png is not None:
            mask = _open_mask(self.mask_png)
            rows = np.minimum((2 * np.arange(height) + 1) * mask.shape[0] // (2 * height), mask.shape[0] - 1)
            columns = np.minimum((2 * np.arange(width) + 1) * mask.shape[1] // (2 * width), mask.shape[1] - 1)
            return np.asarray(mask[rows[:, None], columns])
        covered = np.zeros((height, width), dtype=np.bool_)
        x_W, y_H = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
        for polygon in self.polygons:
            covered |= _inside(polygon, x_W, y_H)
        return covered

    def counts(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """Which cells of a grid count, bool (height, width): those covered, or if none is, those touched.

        At least one, so that a small region is looked at on a coarse grid too.
        """
        counted = self.covers(height, width)
        if not counted.any():
            rows, columns = np.nonzero(self.covers(_DRAWN_PX, _DRAWN_PX))
            side = 2 * _DRAWN_PX
            counted[(2 * rows + 1) * height // side, (2 * columns + 1) * width // side] = True
        return counted

    def check_fits(self, height: int, width: int) -> None:
        """Raise `DataError` where a mask is of another shape than a photograph of height x width px.

        Polygons are fractions, which are of any shape.
        """
        if self.mask_png is None:
            return
        rows, columns = _open_mask(self.mask_png).shape
        # A shrunk mask has whole pixels: half of one more or less is no other shape.
        slack = _ASPECT_SLACK + 1 / rows + 1 / columns
        if abs(math.log(columns * height / (rows * width))) > slack:
            raise DataError(
                f"The mask of the region of interest is {columns} x {rows} px, of another shape than the"
                f" photograph's {width} x {height}: draw it on such a photograph, or give polygons."
            )

    def to_json(self) -> dict[str, Any]:
        """As files, stores and requests have it; `from_json` reads it."""
        if self.mask_png is not None:
            return {"mask_png": base64.b64encode(self.mask_png).decode()}
        return {"polygons": [[list(corner) for corner in polygon] for polygon in self.polygons]}

    @classmethod
    def from_json(cls, values: Any) -> "RegionOfInterest":
        """A region from plain JSON values; raises `DataError`."""
        if (
            not isinstance(values, Mapping)
            or len(values) != 1
            or not values.keys() <= {"polygons", "mask_png"}
        ):
            raise DataError(f"A region of interest must be {_SHOWN}, but got {str(values)[:80]!r}.")
        if "mask_png" in values:
            try:
                png = base64.b64decode(values["mask_png"], validate=True)
            except (TypeError, ValueError, binascii.Error):
                raise DataError("`mask_png` of a region of interest must be a PNG in base64.") from None
            return cls(mask_png=png)
        return cls(polygons=_read_polygons(values["polygons"]))

    @classmethod
    def from_mask(cls, mask_HW: npt.NDArray[np.bool_]) -> "RegionOfInterest":
        """The region that a mask marks, bool (H, W) over the photograph."""
        file = io.BytesIO()
        image = Image.fromarray(mask_HW.astype(np.uint8) * 255)
        image.thumbnail((_MAX_MASK_SIDE_PX, _MAX_MASK_SIDE_PX), Image.Resampling.NEAREST)
        image.convert("1").save(file, "PNG", optimize=True)
        return cls(mask_png=file.getvalue())


def _read_polygons(values: Any) -> tuple[tuple[Corner, ...], ...]:
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise DataError(f"A region of interest must be {_SHOWN}, but got {str(values)[:80]!r}.")
    polygons = []
    for polygon in values:
        try:
            polygons.append(tuple((_number(x), _number(y)) for x, y in polygon))
        except (TypeError, ValueError):
            raise DataError(
                f"A polygon must be a list of corners [x, y], but got {str(polygon)[:80]!r}."
            ) from None
    return tuple(polygons)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return float(value)


def _inside(
    polygon: Sequence[Corner], x_W: npt.NDArray[np.float64], y_H: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Centres inside by the even-odd rule: a row crosses every edge that spans it once."""
    crossings = np.zeros((len(y_H), len(x_W) + 1), dtype=np.int32)
    for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        rows = np.flatnonzero((y_H >= min(y0, y1)) & (y_H < max(y0, y1)))
        if len(rows):
            at_x = x0 + (y_H[rows] - y0) * (x1 - x0) / (y1 - y0)
            np.add.at(crossings, (rows, np.searchsorted(x_W, at_x)), 1)
    return np.asarray(crossings[:, :-1].cumsum(axis=1) % 2 == 1)


@functools.lru_cache(maxsize=8)  # asked of every photograph of a domain
def _open_mask(png: bytes) -> npt.NDArray[np.bool_]:
    """Read-only: it is shared."""
    try:
        image = Image.open(io.BytesIO(png), formats=("PNG",))
        if max(image.size) > _MAX_MASK_SIDE_PX:
            raise DataError(f"A mask of a region has at most {_MAX_MASK_SIDE_PX} px a side: shrink it.")
        mask: npt.NDArray[np.bool_] = np.asarray(image.convert("L")) > 0
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"The mask of a region of interest is no PNG that can be read ({error}).") from None
    mask.flags.writeable = False
    return mask
