"""One synthetic photograph: a surface, its normal variation, a defect, the camera."""

# H, W pixels down and across

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dgad.domains.demo.camera import Shot, draw_session, draw_shot
from dgad.domains.demo.defects import DEFECTS, Site
from dgad.domains.demo.look import Look
from dgad.domains.demo.noise import UNITS, Array, Canvas
from dgad.domains.demo.surfaces import SURFACES, Surface
from dgad.domains.demo.variation import vary
from dgad.errors import DataError

VISIBLE_STEP = 8
"""A pixel is marked when a channel changed by at least this many of 255 grey levels."""
MIN_DEFECT_AREA = 24 / UNITS**2
"""Part of 128 by 128 units that a defect of its kind's usual size covers at least."""
_LENS_PX = 5
"""The lens spreads a change no further."""
_EDGE, _REACH = 20, 96
"""Units that the place of a defect of usual size keeps from the edges, and that it reaches from there."""
_USUAL_EXTENT = 40
"""About the extent of a defect of usual size, in units."""
_CORRECTIONS, _ATTEMPTS = 6, 60
"""Of a defect's scale until its extent is right; of another defect where that fails."""

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Scene:
    """A flawless surface before the camera."""

    surface: Surface
    canvas: Canvas
    shot: Shot
    flawless: Pixels
    """Its photograph, (H, W, 3)."""


class _Window(NamedTuple):
    """A part of a picture in pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


def render(
    surface_name: str, kind: str, *, style_seed: int, image_seed: int, look: Look
) -> tuple[Pixels, Mask | None]:
    """One photograph, uint8 RGB (H, W, 3), and for a defect the pixels it changed visibly, bool (H, W)."""
    rng, canvas = np.random.default_rng(image_seed), look.canvas
    surface = SURFACES[surface_name](np.random.default_rng(style_seed), rng, canvas)
    style = np.random.default_rng([style_seed, 1])
    surface = vary(surface, canvas, style, rng, look.variation)
    session = draw_session(style, rng, look.variation)
    shot = draw_shot(rng, canvas, look.photometric, session)
    flawless = shot.take(surface.pixels)
    if kind == "good":
        return flawless, None
    scene = _Scene(surface=surface, canvas=canvas, shot=shot, flawless=flawless)
    if look.defect_px is None:
        return _damage_as_usual(scene, kind, rng, look.contrast)
    if (damaged := _damage_to_extent(scene, kind, rng, look.defect_px, look.contrast)) is not None:
        return damaged
    raise DataError(
        f"No `{kind}` of {look.defect_px[0]}-{look.defect_px[1]} px could be seen on `{surface_name}` at"
        f" contrast {look.contrast:g}; give more of either, or leave the surface out."
    )


def measure_extent(mask: Mask) -> int:
    """The longer side of the box around a mask, in pixels; 0 without any."""
    return max((int(np.ptp(places)) + 1 if len(places) else 0) for places in np.nonzero(mask))


def _damage_as_usual(
    scene: _Scene, kind: str, rng: np.random.Generator, contrast: float
) -> tuple[Pixels, Mask]:
    """With a defect of the kind's usual size."""
    canvas = scene.canvas
    strength = float(rng.uniform(0.3, 1.0))
    while True:  # a defect may fall where it cannot be seen: draw again, stronger
        if canvas.area <= 1:
            window, place = _Window(0, 0, *canvas.shape), None
        else:
            edge = _EDGE * canvas.px_per_unit
            window, place = _draw_window(canvas, rng, edge, _REACH * canvas.px_per_unit)
        changed = DEFECTS[kind](_cut(scene, window, place, 1.0), rng, strength)
        photograph, mask = _photograph(scene, window, changed, contrast)
        if mask.sum() >= MIN_DEFECT_AREA * (UNITS * canvas.px_per_unit) ** 2:
            return photograph, mask
        strength, contrast = min(1.0, strength + 0.1), min(1.0, contrast * 1.1)


def _damage_to_extent(
    scene: _Scene, kind: str, rng: np.random.Generator, extent_px: tuple[int, int], contrast: float
) -> tuple[Pixels, Mask] | None:
    """With a defect whose mask has an extent drawn log-uniformly from a range; None where none shows so."""
    least, most = extent_px
    wanted = float(np.exp(rng.uniform(np.log(least), np.log(most))))
    strength = float(rng.uniform(0.3, 1.0))
    for _ in range(_ATTEMPTS):
        reach = 1.25 * wanted + 24 * scene.canvas.px_per_unit
        window, place = _draw_window(scene.canvas, rng, wanted / 2 + 3, reach)
        seed = int(rng.integers(2**32))
        scale = wanted / scene.canvas.px_per_unit / _USUAL_EXTENT
        for _ in range(_CORRECTIONS):  # the same defect, larger or smaller
            site = _cut(scene, window, place, scale)
            changed = DEFECTS[kind](site, np.random.default_rng(seed), strength)
            photograph, mask = _photograph(scene, window, changed, contrast)
            extent = measure_extent(mask)
            is_close = abs(extent - wanted) <= max(1.0, 0.1 * wanted)
            if is_close and least <= extent <= most and mask.sum() >= extent:
                return photograph, mask
            scale *= float(np.clip(wanted / max(extent, 1), 0.5, 2.0))
        strength, contrast = min(1.0, strength + 0.1), min(1.0, contrast * 1.1)
    return None


def _draw_window(
    canvas: Canvas, rng: np.random.Generator, edge_px: float, reach_px: float
) -> tuple[_Window, npt.NDArray[np.float64]]:
    """A window around a place drawn at least `edge_px` inside; the place is in units from its corner."""
    row, column = rng.uniform(edge_px, np.array(canvas.shape) - edge_px)
    window = _Window(
        max(0, int(row - reach_px)),
        max(0, int(column - reach_px)),
        min(canvas.height, int(row + reach_px) + 1),
        min(canvas.width, int(column + reach_px) + 1),
    )
    return window, np.array([row - window.top, column - window.left]) / canvas.px_per_unit


def _cut(scene: _Scene, window: _Window, place: npt.NDArray[np.float64] | None, scale: float) -> Site:
    return Site(
        pixels=scene.surface.pixels[window.slices],
        canvas=dataclasses.replace(
            scene.canvas, height=window.bottom - window.top, width=window.right - window.left
        ),
        angle_rad=scene.surface.angle_rad,
        pitch=scene.surface.pitch,
        place=place,
        scale=scale,
    )


def _photograph(scene: _Scene, window: _Window, changed: Array, contrast: float) -> tuple[Pixels, Mask]:
    """The whole photograph with the window's pixels changed, and where that is visible, (H, W)."""
    if contrast < 1:
        original = scene.surface.pixels[window.slices]
        changed = original + np.float32(contrast) * (changed - original)
    taken = scene.shot.crop(*window.slices).take(changed)
    # Near the window's own edges the lens saw no neighbours: there the photograph stays as it was.
    height, width = scene.canvas.shape
    top, left = window.top and _LENS_PX, window.left and _LENS_PX
    bottom = _LENS_PX if window.bottom < height else 0
    right = _LENS_PX if window.right < width else 0
    inner = _Window(window.top + top, window.left + left, window.bottom - bottom, window.right - right)
    inside = taken[top : taken.shape[0] - bottom, left : taken.shape[1] - right]
    photograph, mask = scene.flawless.copy(), np.zeros(scene.canvas.shape, dtype=np.bool_)
    change = np.abs(inside.astype(np.int16) - scene.flawless[inner.slices].astype(np.int16)).max(axis=2)
    photograph[inner.slices] = inside
    mask[inner.slices] = change >= VISIBLE_STEP
    return photograph, mask
