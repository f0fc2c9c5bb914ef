"""Heatmaps as PNG, in the size of the photograph or up to what was asked for."""

import base64
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dgad.evaluation.heatmaps import heat_png, map_png, overlay_png
from serve.engine.backend import Outcome
from serve.http.images import Photograph

HeatmapKind = Literal["png", "overlay", "map", "none"]


def draw(photograph: Photograph, outcome: Outcome, kind: HeatmapKind, max_side_px: int) -> bytes | None:
    """The picture; None where none is asked for or the method does not localise."""
    if kind == "none" or outcome.heat is None:
        return None
    if kind == "map":
        heat = _shrink_map(outcome.heat, max_side_px)
        return map_png(heat, low=outcome.heat_low, high=outcome.heat_high)
    if photograph.picture is None:
        return None
    if kind == "overlay":
        return overlay_png(photograph.picture, outcome.heat, low=outcome.heat_low, high=outcome.heat_high)
    height, width = photograph.picture.shape[:2]
    return heat_png(outcome.heat, (width, height), low=outcome.heat_low, high=outcome.heat_high)


def draw_uri(photograph: Photograph, outcome: Outcome, kind: HeatmapKind, max_side_px: int) -> str | None:
    """The same as an `<img>` takes it."""
    png = draw(photograph, outcome, kind, max_side_px)
    if png is None:
        return None
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _shrink_map(heat: NDArray[np.float32], max_side: int) -> NDArray[np.float32]:
    """The map with blocks of cells as one, each as hot as its hottest: no small defect is averaged away."""
    step = -(-max(heat.shape) // max_side)
    if step == 1:
        return heat
    rows, columns = (np.arange(0, side, step) for side in heat.shape)
    # Of a cell that is not scored and one that is, `fmax` takes the latter.
    shrunk: NDArray[np.float32] = np.fmax.reduceat(np.fmax.reduceat(heat, rows, axis=0), columns, axis=1)
    return shrunk
