"""What differs between flawless pieces of one material: seams, smudges and dust."""

# H, W pixels down and across; lengths in units (dgad/domains/demo/noise.py)

import dataclasses

import numpy as np
import numpy.typing as npt

from dgad.domains.demo.noise import Array, Canvas, places
from dgad.domains.demo.surfaces import Surface

_SEAMS, _SMUDGES, _DUST = 0.25, 1.2, 5.0
"""Expected number on 128 by 128 units, of seams on 128 units of the diagonal."""


def vary(
    surface: Surface, canvas: Canvas, style: np.random.Generator, rng: np.random.Generator, variation: float
) -> Surface:
    """The surface with seams, smudges and dust that are no defects; itself without variation."""
    if variation == 0:
        return surface
    factor = _draw_seams(surface, canvas, style, rng, variation)
    for _ in range(rng.poisson(_SMUDGES * canvas.area * variation)):
        spread = rng.uniform(5, 16, size=2)
        _stamp(factor, canvas, rng, spread, rng.choice([-1, 1]) * rng.uniform(0.03, 0.09))
    for _ in range(rng.poisson(_DUST * canvas.area * variation)):
        spread = rng.uniform(0.5, 0.8, size=2)
        _stamp(factor, canvas, rng, spread, rng.choice([-1, 1]) * rng.uniform(0.1, 0.35))
    pixels = np.asarray(surface.pixels * factor[..., None], dtype=np.float32)
    return dataclasses.replace(surface, pixels=pixels)


def _draw_seams(
    surface: Surface, canvas: Canvas, style: np.random.Generator, rng: np.random.Generator, variation: float
) -> Array:
    """Brightness factor (H, W) of straight joints across the whole picture, alike throughout a domain.

    What lies beyond a joint is a little lighter or darker, as the next board or tile is.
    """
    turned = 0.0 if style.random() < 0.5 else np.pi / 2
    half_width, depth, lit = style.uniform(1.2, 2.4), style.uniform(0.15, 0.4), style.uniform(0.0, 0.15)
    factor = np.ones(canvas.shape, dtype=np.float32)
    v, u = places(canvas)
    diagonal = float(np.hypot(v[-1, -1], u[-1, -1])) / 128
    angle = surface.angle_rad + turned + rng.normal(0, 0.03)
    for _ in range(rng.poisson(_SEAMS * diagonal * variation)):
        row, column = rng.uniform(0, canvas.shape) / canvas.px_per_unit
        across = np.float32(np.cos(angle)) * (v - np.float32(row)) + np.float32(np.sin(angle)) * (
            u - np.float32(column)
        )
        valley = np.exp(-((across / np.float32(half_width)) ** 2))
        shoulder = np.exp(-(((across - np.float32(2 * half_width)) / np.float32(half_width)) ** 2))
        beyond = np.float32(rng.normal(0, 0.03)) * (across > 0)
        factor *= 1 - np.float32(depth) * valley + np.float32(lit) * shoulder + beyond
    return factor


def _stamp(
    factor: Array, canvas: Canvas, rng: np.random.Generator, spread: npt.NDArray[np.float64], height: float
) -> None:
    """Multiply a soft oval spot of the two spreads, anywhere and turned anyhow, into `factor`."""
    row, column = rng.uniform(0, canvas.shape)
    angle = rng.uniform(0, np.pi)
    reach = int(np.ceil(3 * spread.max() * canvas.px_per_unit)) + 1
    top, left = max(0, int(row) - reach), max(0, int(column) - reach)
    part = factor[top : int(row) + reach + 1, left : int(column) + reach + 1]
    v = ((np.arange(part.shape[0]) + top - row) / canvas.px_per_unit)[:, None]
    u = ((np.arange(part.shape[1]) + left - column) / canvas.px_per_unit)[None, :]
    along, across = np.cos(angle) * u + np.sin(angle) * v, np.cos(angle) * v - np.sin(angle) * u
    spot = np.exp(-0.5 * ((along / spread[0]) ** 2 + (across / spread[1]) ** 2))
    part *= (1 + height * spot).astype(np.float32)
