"""Procedural surfaces: pure functions of a style, an image's chance and a canvas, in one visible dict.

`style` is seeded per domain and decides what all its images share (pitch, colours, relief); `rng` is
seeded per image and decides the rest (phase, tilt, irregularities). Equal seeds give equal pixels.
"""

# H, W pixels down and across; v, u surface coordinates in units of length (dgad/domains/demo/noise.py)

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from scipy import ndimage

from dgad.domains.demo.noise import (
    Array,
    Canvas,
    cells,
    colour,
    coordinates,
    fractal,
    of_number,
    shade,
    smooth,
    specks,
    standard,
    step,
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """A flawless piece of surface, before light and camera."""

    pixels: Array
    """RGB (H, W, 3), about 0 to 1."""
    angle_rad: float
    """Direction of its threads, bars or grain; 0 along x."""
    pitch: float
    """Width of its smallest repeated part, in units."""


SurfaceFunction = Callable[[np.random.Generator, np.random.Generator, Canvas], Surface]
"""(style, rng, canvas) -> Surface."""


def woven(style: np.random.Generator, rng: np.random.Generator, canvas: Canvas) -> Surface:
    """Plain or twill cloth: two sets of threads over and under each other."""
    pitch, tilt = style.uniform(7, 10), style.uniform(-0.3, 0.3)
    twill = int(style.choice([2, 3, 4]))
    hue = style.uniform(0.5, 1.0, 3)
    warp_tone, weft_tone = style.uniform(0.45, 0.6), style.uniform(0.6, 0.8)
    light = style.uniform(0, 2 * np.pi)
    v, u = coordinates(canvas, rng, tilt_rad=tilt, zoom=1.0)
    v = v + 0.07 * pitch * smooth(rng, canvas, 14)
    u = u + 0.07 * pitch * smooth(rng, canvas, 14)
    row, column = np.floor(v / pitch).astype(np.int64), np.floor(u / pitch).astype(np.int64)
    across_v, across_u = v / pitch - row - 0.5, u / pitch - column - 0.5
    over = ((row + column) % twill) == 0
    round_v = np.sqrt(np.clip(1 - (2 * across_v) ** 2, 0, 1))
    round_u = np.sqrt(np.clip(1 - (2 * across_u) ** 2, 0, 1))
    # The thread on top shows its own round section, dipping where it goes under its neighbours.
    height = np.where(over, round_u * (0.55 + 0.45 * round_v), round_v * (0.55 + 0.45 * round_u))
    thread = np.where(over, warp_tone + 0.05 * of_number(rng, column), weft_tone + 0.05 * of_number(rng, row))
    fibre = np.where(over, smooth(rng, canvas, 0.5), smooth(rng, canvas, 0.5, stretch=3))
    tone = thread * (0.35 + 0.65 * height) + 0.035 * fibre
    tone = tone * shade(height.astype(np.float32), canvas, light_rad=light, relief=0.35)
    pixels = tone[..., None] * (hue / hue.max())
    return Surface(pixels=pixels.astype(np.float32), angle_rad=float(tilt), pitch=float(pitch))


def grid(style: np.random.Generator, rng: np.random.Generator, canvas: Canvas) -> Surface:
    """A metal mesh of crossing bars in front of a blurred background."""
    pitch, tilt = style.uniform(15, 20), style.choice([0.0, np.pi / 4]) + style.uniform(-0.15, 0.15)
    width, light = style.uniform(0.30, 0.42), style.uniform(0, 2 * np.pi)
    metal, back = style.uniform(0.5, 0.75), style.uniform(0.15, 0.3)
    tint = 1 + style.normal(0, 0.04, 3)
    v, u = coordinates(canvas, rng, tilt_rad=tilt, zoom=1.0)
    v = v + 0.03 * pitch * smooth(rng, canvas, 20)
    u = u + 0.03 * pitch * smooth(rng, canvas, 20)
    row, column = np.floor(v / pitch).astype(np.int64), np.floor(u / pitch).astype(np.int64)
    across_v = np.abs(v / pitch - row - 0.5) / (width / 2)
    across_u = np.abs(u / pitch - column - 0.5) / (width / 2)
    wave_u, wave_v = np.cos(np.pi * (u / pitch)), np.cos(np.pi * (v / pitch))
    bar_v = np.sqrt(np.clip(1 - across_v**2, 0, 1)) * (0.85 + 0.15 * np.where(row % 2 == 0, wave_u, -wave_u))
    bar_u = np.sqrt(np.clip(1 - across_u**2, 0, 1)) * (
        0.85 + 0.15 * np.where(column % 2 == 0, -wave_v, wave_v)
    )
    height = np.maximum(bar_v, bar_u).astype(np.float32)
    is_bar = step(height, 0.25, 0.4)
    worn = 1 + 0.05 * smooth(rng, canvas, 1.2) + 0.05 * smooth(rng, canvas, 8)
    lit = shade(height, canvas, light_rad=light, relief=0.5)
    bar = metal * worn * lit * (0.6 + 0.4 * height) + 0.25 * height**6
    behind = back * (1 + 0.12 * smooth(rng, canvas, 9) + 0.03 * smooth(rng, canvas, 1))
    tone = is_bar * bar + (1 - is_bar) * behind
    return Surface(
        pixels=(tone[..., None] * tint).astype(np.float32), angle_rad=float(tilt), pitch=float(pitch)
    )


def leather(style: np.random.Generator, rng: np.random.Generator, canvas: Canvas) -> Surface:
    """Pebbled grain with dark creases between the pebbles."""
    pitch, light = style.uniform(6.5, 9.5), style.uniform(0, 2 * np.pi)
    dark = style.uniform(0.6, 1.1) * np.array([0.22, 0.13, 0.09]) * (1 + style.normal(0, 0.06, 3))
    bright = dark + style.uniform(0.8, 1.2) * np.array([0.46, 0.33, 0.22]) * (1 + style.normal(0, 0.08, 3))
    v, u = coordinates(canvas, rng, tilt_rad=0, zoom=1.0)
    v = v + 0.13 * pitch * smooth(rng, canvas, 3)
    u = u * style.uniform(0.75, 1.0) + 0.13 * pitch * smooth(rng, canvas, 3)
    nearest, second, number = cells(rng, v, u, float(pitch))
    crease = step(second - nearest, 0.18, 0.42)
    dome = crease * (1 - 0.9 * nearest**2) + 0.05 * of_number(rng, number)
    height = (dome + 0.05 * smooth(rng, canvas, 0.7)).astype(np.float32)
    grain = 0.26 + 0.26 * crease * (1 - 0.35 * nearest**2) + 0.025 * of_number(rng, number)
    tone = grain + 0.025 * smooth(rng, canvas, 10) + 0.32 * specks(rng, canvas, count=14)
    tone = tone * shade(height, canvas, light_rad=light, relief=0.35) + 0.02 * smooth(rng, canvas, 0.6)
    return Surface(pixels=colour(tone.astype(np.float32), dark, bright), angle_rad=0.0, pitch=float(pitch))


def tile(style: np.random.Generator, rng: np.random.Generator, canvas: Canvas) -> Surface:
    """Polished granite: grains of three minerals at two scales."""
    coarse, fine = style.uniform(3.0, 4.5), style.uniform(1.0, 1.5)
    base = style.uniform(0.5, 0.68)
    tint = 1 + style.normal(0, 0.025, 3)
    flecks = base * style.uniform(0.45, 0.6) * (1 + style.normal(0, 0.04, 3))
    second = base * (1 + style.uniform(-0.2, -0.1)) * (1 + style.normal(0, 0.05, 3))
    blotch = step(smooth(rng, canvas, coarse) + 0.35 * smooth(rng, canvas, fine), 0.35, 0.35)
    fleck = step(smooth(rng, canvas, fine * 1.3) + 0.4 * smooth(rng, canvas, 0.6), 1.35, 0.5)
    sparkle = step(smooth(rng, canvas, fine), 1.7, 0.5)
    ground = base * (1 + 0.05 * smooth(rng, canvas, 0.8)[..., None]) * tint
    pixels = ground * (1 - blotch[..., None]) + second * blotch[..., None]
    pixels = pixels * (1 - 0.8 * fleck[..., None]) + 0.8 * fleck[..., None] * flecks
    pixels = pixels + 0.10 * sparkle[..., None]
    return Surface(pixels=pixels.astype(np.float32), angle_rad=0.0, pitch=float(coarse * 2))


def marble(style: np.random.Generator, rng: np.random.Generator, canvas: Canvas) -> Surface:
    """Clouded stone with turbulent veins along one direction."""
    tilt, frequency = style.uniform(0, np.pi), style.uniform(0.025, 0.04)
    vein_colour = style.uniform(0.15, 0.4, 3)
    ground = style.uniform(0.62, 0.82) * (1 + style.normal(0, 0.05, 3))
    _, u = coordinates(canvas, rng, tilt_rad=tilt + rng.normal(0, 0.15), zoom=1.0)
    turbulence = smooth(rng, canvas, 11) + 0.45 * smooth(rng, canvas, 4) + 0.12 * smooth(rng, canvas, 1.5)
    phase = u * frequency * 2 * np.pi + 1.6 * turbulence
    ridge = 1 - np.abs(np.sin(phase)).astype(np.float32)
    strength = rng.uniform(0.7, 1.4) * np.clip(0.55 + 0.35 * smooth(rng, canvas, 14), 0.05, 1)
    veins = (step(ridge, 0.93, 0.22) * strength * 0.5).astype(np.float32)
    hair = 1 - np.abs(np.sin(2.3 * phase + 2.0 * smooth(rng, canvas, 8)))
    veins = np.maximum(veins, 0.25 * step(hair.astype(np.float32), 0.95, 0.12) * strength)
    cloud = 1 + rng.uniform(0.02, 0.065) * fractal(rng, canvas, slope=1.5) + 0.015 * smooth(rng, canvas, 0.6)
    cloud = cloud + 0.3 * specks(rng, canvas, count=12)
    pixels = ground * cloud[..., None] * (1 - veins[..., None]) + vein_colour * veins[..., None]
    return Surface(pixels=pixels.astype(np.float32), angle_rad=float(tilt), pitch=8.0)


def wood(style: np.random.Generator, rng: np.random.Generator, canvas: Canvas) -> Surface:
    """Planed board: growth lines that bend slowly, and short dark pores along them."""
    tilt, period = np.pi / 2 + style.uniform(-0.15, 0.15), style.uniform(9, 15)
    dark = style.uniform(0.8, 1.15) * np.array([0.36, 0.22, 0.12]) * (1 + style.normal(0, 0.05, 3))
    bright = dark + style.uniform(0.85, 1.15) * np.array([0.36, 0.30, 0.22]) * (1 + style.normal(0, 0.04, 3))
    v, u = coordinates(canvas, rng, tilt_rad=tilt, zoom=1.0)
    bend = 0.9 * period * np.sin(u / style.uniform(60, 110)) + 1.2 * smooth(rng, canvas, 18)
    ring = (v + bend + 0.8 * smooth(rng, canvas, 5)) / period
    position = (ring - np.floor(ring)).astype(np.float32)
    late = position**2.2 * step(1 - position, 0.06, 0.12)  # slow darkening, then a sharp edge, as in softwood
    year = of_number(rng, np.floor(ring).astype(np.int64))
    along = _along_grain(rng, v, u, 0.7, 14.0)
    pores = step(_along_grain(rng, v, u, 0.5, 14.0), 1.5, 1.0)
    tone = (
        0.66 - rng.uniform(0.22, 0.38) * late * (1 + 0.2 * year) + 0.03 * year + 0.04 * along - 0.12 * pores
    )
    tone = tone + 0.025 * smooth(rng, canvas, 12) + 0.45 * specks(rng, canvas, count=12)
    return Surface(
        pixels=colour(tone.astype(np.float32), dark, bright), angle_rad=float(tilt), pitch=float(period)
    )


def brushed_metal(style: np.random.Generator, rng: np.random.Generator, canvas: Canvas) -> Surface:
    """Fine streaks along one direction and a soft band of reflected light."""
    tilt, length = style.uniform(-0.3, 0.3), style.uniform(18, 40)
    base, contrast = style.uniform(0.48, 0.62), style.uniform(0.035, 0.055)
    tint = 1 + style.normal(0, 0.025, 3)
    v, u = coordinates(canvas, rng, tilt_rad=tilt, zoom=1.0)
    streaks = _along_grain(rng, v, u, 0.45, length) + 0.6 * _along_grain(rng, v, u, 1.3, length * 1.5)
    deep = step(np.abs(_along_grain(rng, v, u, 0.5, length * 0.5)), 2.4, 0.8)
    side = np.sign(smooth(rng, canvas, 6))
    middle, spread = rng.uniform(0.1, 0.9), rng.uniform(0.25, 0.4)
    position = (v - v.min()) / (v.max() - v.min())
    band = 0.10 * np.exp(-(((position - middle) / spread) ** 2))
    tone = base + contrast * standard(streaks) + 0.07 * side * deep + band
    return Surface(pixels=(tone[..., None] * tint).astype(np.float32), angle_rad=float(tilt), pitch=4.0)


def concrete(style: np.random.Generator, rng: np.random.Generator, canvas: Canvas) -> Surface:
    """Washed concrete: rounded stones of several greys in rough mortar."""
    pitch, light = style.uniform(7, 11), style.uniform(0, 2 * np.pi)
    mortar, stones = style.uniform(0.34, 0.45), style.uniform(0.45, 0.6)
    tint = 1 + style.normal(0, 0.04, 3)
    v, u = coordinates(canvas, rng, tilt_rad=0, zoom=1.0)
    v = v + 0.12 * pitch * smooth(rng, canvas, 3)
    u = u + 0.12 * pitch * smooth(rng, canvas, 3)
    nearest, second, number = cells(rng, v, u, float(pitch))
    radius = 0.40 + 0.09 * of_number(rng, number)
    inside = step(np.minimum(radius - nearest, second - nearest - 0.1), 0.0, 0.16)
    height = inside * np.sqrt(np.clip(1 - (nearest / 0.75) ** 2, 0, 1)) + 0.07 * smooth(rng, canvas, 0.8)
    rough = 1 + 0.13 * smooth(rng, canvas, 0.8) + 0.06 * fractal(rng, canvas, slope=1.0)
    stone = stones * (1 + 0.18 * of_number(rng, number))
    warm = 1 + 0.05 * of_number(rng, number)[..., None] * np.array([1.0, 0.1, -0.9])
    tone = (inside * stone + (1 - inside) * mortar * rough) * shade(
        height.astype(np.float32), canvas, light_rad=light, relief=0.5
    )
    return Surface(
        pixels=(tone[..., None] * tint * warm).astype(np.float32), angle_rad=0.0, pitch=float(pitch)
    )


SURFACES: Mapping[str, SurfaceFunction] = {
    "woven": woven,
    "grid": grid,
    "leather": leather,
    "tile": tile,
    "wood": wood,
    "brushed_metal": brushed_metal,
    "marble": marble,
    "concrete": concrete,
}
"""Every family by name."""


def _along_grain(rng: np.random.Generator, v: Array, u: Array, width: float, length: float) -> Array:
    """Noise drawn out along u, deviation 1, in surface coordinates, so that it follows their bends."""
    step_v, step_u = width, length / 3
    row, column = (v - v.min()) / step_v, (u - u.min()) / step_u
    table = rng.standard_normal((int(row.max()) + 4, int(column.max()) + 4)).astype(np.float32)
    return standard(ndimage.map_coordinates(table, [row + 1, column + 1], order=1))
