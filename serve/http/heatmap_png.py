"""Heatmaps as PNG, in the size of the photograph or, of large ones, up to 2048 px a side."""

import base64
from typing import Literal

from dgad.evaluation.heatmaps import heat_png, map_png, overlay_png
from serve.engine.backend import Outcome
from serve.http.images import Photograph

HeatmapKind = Literal["png", "overlay", "map", "none"]


def draw(photograph: Photograph, outcome: Outcome, kind: HeatmapKind) -> bytes | None:
    """The picture; None where none is asked for or the method does not localise."""
    if kind == "none" or outcome.heat is None or photograph.picture is None:
        return None
    if kind == "overlay":
        return overlay_png(photograph.picture, outcome.heat, low=outcome.heat_low, high=outcome.heat_high)
    if kind == "map":
        return map_png(outcome.heat, low=outcome.heat_low, high=outcome.heat_high)
    height, width = photograph.picture.shape[:2]
    return heat_png(outcome.heat, (width, height), low=outcome.heat_low, high=outcome.heat_high)


def draw_uri(photograph: Photograph, outcome: Outcome, kind: HeatmapKind) -> str | None:
    """The same as an `<img>` takes it."""
    png = draw(photograph, outcome, kind)
    if png is None:
        return None
    return "data:image/png;base64," + base64.b64encode(png).decode()
