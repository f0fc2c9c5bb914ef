"""Procedural surfaces as relief and tone, in one visible dict of families.

`style` is drawn once a domain and decides what its images share; the canvas draws what differs between
images. A family gives shapes only: colour, light and camera are added to all of them alike
(`procedural.appearance`, `procedural.camera`).
"""

# N images, S pixels a side; v, u coordinates in px along and across the pattern

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from dgad.domains.procedural.fields import (
    Canvas,
    cells,
    hash_lattice,
    lattice_noise,
    smooth,
    spectral,
    standard,
    step,
)

Style = np.random.Generator


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """Flawless surfaces of one domain before colour and light, each (N, S, S)."""

    tone: Tensor
    """Reflectance in any scale."""
    height: Tensor
    """Relief in px, to be lit; zeros where the surface is flat."""
    pitch_px: float
    """Size of its smallest repeated part."""
    angle_rad: float


SurfaceFunction = Callable[[Canvas, Style], Surface]


def log_uniform(style: Style, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return float(math.exp(style.uniform(math.log(low), math.log(high))))


def coordinates(canvas: Canvas, style: Style, *, wobble: bool = True) -> tuple[Tensor, Tensor, float]:
    """(v, u, angle): coordinates (N, S, S) turned to the domain's angle, placed anew in each image.

    Domains differ in how exactly their images are aligned, and in how much the pattern bends.
    """
    angle = float(style.choice([0.0, math.pi / 2, style.uniform(0, math.pi)]))
    turned = float(style.choice([0.0, 0.02, 0.06, math.pi], p=[0.3, 0.35, 0.25, 0.1]))
    zoomed = float(style.choice([0.0, 0.02, 0.05, 0.2], p=[0.3, 0.3, 0.25, 0.15]))
    fixed = style.random() < 0.15
    rows, columns = canvas.rows_columns()
    theta = angle + turned * canvas.uniform(-1, 1)
    scale, squeeze = 1 + zoomed * canvas.uniform(-1, 1), 1 + 0.5 * zoomed * canvas.uniform(-1, 1)
    shift = float(style.uniform(0, 3)) if fixed else 500.0
    v = (theta.cos() * rows + theta.sin() * columns) / (scale * squeeze) + canvas.uniform(0, shift)
    u = (theta.cos() * columns - theta.sin() * rows) / scale + canvas.uniform(0, shift)
    if wobble and style.random() < 0.6:
        reach, amount = log_uniform(style, 8, 40), style.uniform(0.3, 3.0)
        v = v + amount * smooth(canvas, reach)
        u = u + amount * smooth(canvas, reach)
    return v, u, angle


def _flat(tone: Tensor, pitch_px: float, angle_rad: float = 0.0) -> Surface:
    return Surface(tone=tone, height=torch.zeros_like(tone), pitch_px=pitch_px, angle_rad=angle_rad)


def _salt(style: Style) -> int:
    return int(style.integers(1 << 20))


def fractal(canvas: Canvas, style: Style) -> Surface:
    """Noise without a scale of its own: plaster, paper, cast skin."""
    slope, shortest = style.uniform(0.4, 2.0), log_uniform(style, 2, 6)
    tone = spectral(canvas, slope=float(slope), shortest_px=shortest, longest_px=log_uniform(style, 12, 60))
    return Surface(tone=tone, height=tone * style.uniform(0, 1.5), pitch_px=shortest * 2, angle_rad=0.0)


def gabor(canvas: Canvas, style: Style) -> Surface:
    """A few bands of oriented waves without long order: hammered and embossed sheet."""
    tone, wave = torch.zeros(()), 8.0
    angle = style.uniform(0, math.pi)
    for _ in range(style.integers(1, 4)):
        wave = log_uniform(style, 4, 24)
        band = spectral(
            canvas,
            shortest_px=wave * 0.8,
            longest_px=wave * 1.2,
            angle_rad=float(angle + style.choice([0, math.pi / 2, style.uniform(0, math.pi)])),
            angular_width=log_uniform(style, 0.05, 0.8),
        )
        tone = tone + style.uniform(0.3, 1.0) * band
    return Surface(tone=tone, height=tone * style.uniform(0, 2), pitch_px=wave, angle_rad=float(angle))


def blotches(canvas: Canvas, style: Style) -> Surface:
    """Grains of two or three minerals at several scales: granite, terrazzo, alloys."""
    tone = torch.zeros((), device=canvas.device)
    pitch = 4.0
    for _ in range(style.integers(1, 4)):
        pitch = log_uniform(style, 2, 12)
        field = standard(smooth(canvas, pitch) + style.uniform(0, 0.5) * smooth(canvas, pitch / 3 + 0.5))
        edge, width = float(style.uniform(-0.5, 1.6)), float(style.uniform(0.1, 0.8))
        tone = tone + float(style.choice([-1, 1]) * style.uniform(0.4, 1)) * step(field, edge, width)
    return _flat(tone, pitch)


def cellular(canvas: Canvas, style: Style) -> Surface:
    """Cells with borders: leather, cracked glaze, crystalline metal, foam."""
    pitch = log_uniform(style, 4, 28)
    v, u, angle = coordinates(canvas, style)
    stretch = log_uniform(style, 0.6, 1.6)
    found = cells(v / pitch, u / pitch * stretch, salt=_salt(style), jitter=float(style.uniform(0.5, 1.0)))
    border = step(
        found.second - found.nearest, float(style.uniform(0.08, 0.3)), float(style.uniform(0.1, 0.4))
    )
    fill = found.value(_salt(style)) - 0.5
    dome = 1 - found.nearest.square()
    share = style.dirichlet((1, 1, 0.6))
    tone = float(share[0]) * border + float(share[1]) * 2 * fill + float(share[2]) * dome
    height = border * dome * float(style.choice([0, style.uniform(0.5, 4)]))
    return Surface(tone=tone, height=height, pitch_px=pitch, angle_rad=angle)


def periodic(canvas: Canvas, style: Style) -> Surface:
    """A wallpaper of two or three waves and their product: embossed, printed and knurled patterns."""
    v, u, angle = coordinates(canvas, style)
    pitch = log_uniform(style, 5, 26)
    fold = int(style.choice([2, 3]))
    ratio = log_uniform(style, 0.7, 1.5)
    waves = []
    for k in range(fold):
        direction = math.pi * k / fold
        phase = 2 * math.pi / pitch * (math.cos(direction) * v + ratio * math.sin(direction) * u)
        waves.append(phase.cos())
    mixed = torch.stack(waves)
    tone = mixed.sum(0) if style.random() < 0.6 else mixed.prod(0)
    if style.random() < 0.5:
        tone = step(standard(tone), float(style.uniform(-0.7, 0.9)), float(style.uniform(0.2, 1.2)))
    return Surface(tone=tone, height=tone * style.uniform(0, 2), pitch_px=pitch, angle_rad=angle)


def weave(canvas: Canvas, style: Style) -> Surface:
    """Two sets of threads over and under each other: plain, twill and satin cloth."""
    v, u, angle = coordinates(canvas, style)
    pitch_v, ratio = log_uniform(style, 3, 12), log_uniform(style, 0.75, 1.33)
    repeat, salt = int(style.choice([2, 2, 3, 4, 5])), _salt(style)
    advance = 1 if repeat < 5 else 2
    y, x = v / pitch_v, u / (pitch_v * ratio)
    row, column = y.floor(), x.floor()
    over = ((row + advance * column) % repeat) < (1 if style.random() < 0.7 else repeat / 2)
    round_v = (1 - (2 * (y - row - 0.5)).square()).clamp_min(0).sqrt()
    round_u = (1 - (2 * (x - column - 0.5)).square()).clamp_min(0).sqrt()
    height = torch.where(over, round_u * (0.5 + 0.5 * round_v), round_v * (0.5 + 0.5 * round_u))
    uneven = float(style.uniform(0, 0.3))
    warp = float(style.uniform(-0.6, 0.6)) + uneven * (
        hash_lattice(column, torch.zeros_like(column), salt) - 0.5
    )
    weft = uneven * (hash_lattice(row, torch.zeros_like(row), salt + 1) - 0.5)
    tone = (
        1.2 * height + torch.where(over, warp, weft) + float(style.uniform(0, 0.15)) * canvas.normal(*v.shape)
    )
    return Surface(tone=tone, height=height * style.uniform(0, 2), pitch_px=pitch_v, angle_rad=angle)


def mesh(canvas: Canvas, style: Style) -> Surface:
    """Bars with open holes: wire grids, expanded metal, lattices."""
    v, u, angle = coordinates(canvas, style)
    pitch, ratio, lean = log_uniform(style, 8, 28), log_uniform(style, 0.7, 1.4), style.uniform(-0.5, 0.5)
    width = float(style.uniform(0.15, 0.4))
    y, x = v / pitch, u / (pitch * ratio) + float(style.choice([0, lean])) * v / pitch
    near_y, near_x = (y - y.round()).abs(), (x - x.round()).abs()
    bar_y = (1 - (near_y / width).square()).clamp_min(0)
    bar_x = (1 - (near_x / width).square()).clamp_min(0)
    height = torch.maximum(bar_y, bar_x).sqrt()
    tone = step(height, 0.3, 0.4) * (1 + 0.4 * height)
    return Surface(tone=tone, height=2 * height, pitch_px=pitch, angle_rad=angle)


def bricks(canvas: Canvas, style: Style) -> Surface:
    """Rectangles in rows with joints between: tiles, bricks, parquet."""
    v, u, angle = coordinates(canvas, style, wobble=False)
    pitch, ratio = log_uniform(style, 8, 30), log_uniform(style, 0.8, 3)
    offset, joint, salt = float(style.choice([0, 0.5, 0.33])), float(style.uniform(0.04, 0.14)), _salt(style)
    y = v / pitch
    row = y.floor()
    x = u / (pitch * ratio) + offset * row
    column = x.floor()
    edge = torch.minimum(
        (y - row - 0.5).abs().mul(-1).add(0.5), ratio * (x - column - 0.5).abs().mul(-1).add(0.5)
    )
    inside = step(edge, joint, 0.08)
    tone = inside * (1 + float(style.uniform(0, 0.8)) * (hash_lattice(row, column, salt) - 0.5))
    tone = tone + float(style.uniform(0, 0.15)) * smooth(canvas, log_uniform(style, 1, 4))
    return Surface(tone=tone, height=inside * style.uniform(0, 2), pitch_px=pitch, angle_rad=angle)


def brushed(canvas: Canvas, style: Style) -> Surface:
    """Streaks along one direction: brushed and ground metal, rolled sheet, corduroy when coarse."""
    v, u, angle = coordinates(canvas, style)
    tone = torch.zeros((), device=canvas.device)
    width = 2.0
    for _ in range(style.integers(1, 4)):
        width, length = log_uniform(style, 0.8, 5), log_uniform(style, 20, 300)
        tone = tone + float(style.uniform(0.3, 1)) * lattice_noise(v / width, u / length, salt=_salt(style))
    return Surface(tone=tone, height=tone * style.uniform(0, 0.6), pitch_px=2 * width, angle_rad=angle)


def stripes(canvas: Canvas, style: Style) -> Surface:
    """Parallel ribs of one profile: corduroy, corrugation, knurling, printed lines."""
    v, _, angle = coordinates(canvas, style)
    pitch, power, salt = log_uniform(style, 4, 24), log_uniform(style, 0.3, 3), _salt(style)
    y = v / pitch
    profile = (math.pi * y).sin().abs().pow(power)
    uneven = float(style.uniform(0, 0.4)) * (hash_lattice(y.floor(), torch.zeros_like(y), salt) - 0.5)
    tone = profile + uneven + float(style.uniform(0, 0.2)) * spectral(canvas, shortest_px=2)
    return Surface(tone=tone, height=profile * style.uniform(0, 2), pitch_px=pitch, angle_rad=angle)


def turing(canvas: Canvas, style: Style) -> Surface:
    """Reaction and diffusion: labyrinths and spots from a short activator and a long inhibitor."""
    wave, spots = log_uniform(style, 6, 20), float(style.uniform(-0.5, 0.5))
    size = canvas.size_px
    fv = torch.fft.fftfreq(size, device=canvas.device)[:, None]
    fu = torch.fft.rfftfreq(size, device=canvas.device)[None]
    frequency = torch.hypot(fv, fu) * wave
    kernel = 4 * (torch.exp(-(frequency.square())) - torch.exp(-4 * frequency.square()))
    state = 0.3 * canvas.normal(canvas.num_images, size, size)
    for _ in range(10):
        spread = torch.fft.irfft2(torch.fft.rfft2(state) * kernel, s=(size, size))
        state = torch.tanh(3 * spread + spots * 0.3)
    return Surface(tone=state, height=state * style.uniform(0, 2), pitch_px=wave, angle_rad=0.0)


def fibres(canvas: Canvas, style: Style) -> Surface:
    """Felted threads in many directions: non-woven cloth, paper, fibreboard, hair."""
    tone = torch.full((canvas.num_images, canvas.size_px, canvas.size_px), -9.0, device=canvas.device)
    width, main = log_uniform(style, 1.0, 3.0), style.uniform(0, math.pi)
    spread = float(style.choice([0.4, math.pi]))
    for _ in range(style.integers(4, 8)):
        angle = float(main + style.uniform(-spread, spread))
        thread = spectral(canvas, slope=0, shortest_px=2 * width, angle_rad=angle, angular_width=0.06)
        tone = torch.maximum(tone, thread + float(style.uniform(-0.4, 0.4)))
    return Surface(tone=tone, height=tone * style.uniform(0, 0.8), pitch_px=2 * width, angle_rad=float(main))


def dots(canvas: Canvas, style: Style) -> Surface:
    """Discs on a lattice, regular or not: perforated sheet, studs, printed dots, pores."""
    v, u, angle = coordinates(canvas, style)
    pitch, radius = log_uniform(style, 6, 24), float(style.uniform(0.15, 0.42))
    jitter = float(style.choice([0.0, 0.0, 0.3, 0.9]))
    y = v / pitch
    x = u / pitch + (0.5 * (y.floor() % 2) if style.random() < 0.5 and jitter == 0 else 0.0)
    found = cells(y, x, salt=_salt(style), jitter=jitter)
    size = radius * (1 + float(style.uniform(0, 0.4)) * (found.value(_salt(style)) - 0.5))
    disc = step(size - found.nearest, 0.0, float(style.uniform(0.05, 0.3)))
    height = disc * (1 - (found.nearest / radius).square()).clamp_min(0)
    return Surface(tone=disc, height=height * style.uniform(-4, 4), pitch_px=pitch, angle_rad=angle)


def grain(canvas: Canvas, style: Style) -> Surface:
    """Sand, emery and sprayed coats: fine rough noise with scattered specks."""
    tone = spectral(canvas, slope=float(style.uniform(-0.2, 0.5)), shortest_px=log_uniform(style, 2, 5))
    v, u, _ = coordinates(canvas, style, wobble=False)
    pitch = log_uniform(style, 3, 12)
    found = cells(v / pitch, u / pitch, salt=_salt(style))
    chosen = found.value(_salt(style)) < style.uniform(0.05, 0.5)
    speck = step(float(style.uniform(0.15, 0.4)) - found.nearest, 0.0, 0.15) * chosen
    tone = tone * float(style.uniform(0.2, 1)) + float(style.choice([-3, 3]) * style.uniform(0.3, 1)) * speck
    return Surface(tone=tone, height=tone * style.uniform(0, 0.8), pitch_px=pitch, angle_rad=0.0)


def knit(canvas: Canvas, style: Style) -> Surface:
    """Knitted fabric: columns of V-shaped loops."""
    v, u, angle = coordinates(canvas, style)
    pitch, ratio = log_uniform(style, 6, 16), log_uniform(style, 0.7, 1.3)
    x = u / pitch
    across = 2 * (x - x.floor() - 0.5).abs()
    y = v / (pitch * ratio) + float(style.uniform(0.4, 0.9)) * across
    yarn = (math.pi * y).sin().abs().sqrt() * (1 - (2 * across - 1).square()).clamp_min(0).sqrt()
    twist = (2 * math.pi * (3 * y + 2 * across)).sin() * float(style.uniform(0, 0.2))
    tone = yarn + twist * yarn
    return Surface(tone=tone, height=yarn * style.uniform(0.5, 2.5), pitch_px=pitch, angle_rad=angle)


def planks(canvas: Canvas, style: Style) -> Surface:
    """Wood: growth lines that bend, pores along them."""
    v, u, angle = coordinates(canvas, style)
    period, salt = log_uniform(style, 5, 20), _salt(style)
    bend = lattice_noise(v / 50, u / 120, salt=salt) * period * float(style.uniform(0.5, 3))
    ring = (v + bend) / period
    position = ring - ring.floor()
    late = position.pow(log_uniform(style, 1, 3)) * step(1 - position, 0.06, 0.12)
    pores = step(lattice_noise(v / 0.9, u / 14, salt=salt + 1), 0.6, 0.3)
    fine = lattice_noise(v / 1.2, u / 40, salt=salt + 2)
    tone = -late - float(style.uniform(0, 0.6)) * pores + float(style.uniform(0.05, 0.3)) * fine
    return _flat(tone, period, angle)


def veins(canvas: Canvas, style: Style) -> Surface:
    """Clouded stone with turbulent veins."""
    v, _, angle = coordinates(canvas, style, wobble=False)
    turbulence = smooth(canvas, 14) + 0.5 * smooth(canvas, 5) + 0.2 * smooth(canvas, 2)
    phase = v / log_uniform(style, 10, 40) * math.pi + float(style.uniform(0.6, 2)) * turbulence
    ridge = 1 - phase.sin().abs()
    strength = (0.6 + 0.4 * smooth(canvas, 16)).clamp(0.05, 1.2)
    tone = step(ridge, float(style.uniform(0.8, 0.95)), 0.2) * strength
    cloud = spectral(canvas, slope=1.3, shortest_px=3, longest_px=30)
    return _flat(-tone + float(style.uniform(0.05, 0.3)) * cloud, 8.0, angle)


def aggregate(canvas: Canvas, style: Style) -> Surface:
    """Stones of two sizes bedded in rough mortar: concrete, asphalt, conglomerate."""
    v, u, _ = coordinates(canvas, style)
    tone = float(style.uniform(0.1, 0.5)) * spectral(canvas, slope=0.6, shortest_px=2)
    height = torch.zeros_like(v)
    pitch = 6.0
    for _ in range(2):
        pitch = log_uniform(style, 4, 14)
        found = cells(v / pitch, u / pitch, salt=_salt(style))
        size = float(style.uniform(0.3, 0.5)) * (0.5 + found.value(_salt(style)))
        stone = step(size - found.nearest, 0.0, 0.15)
        grey = float(style.uniform(-1, 1.5)) + float(style.uniform(0.3, 1.5)) * (
            found.value(_salt(style)) - 0.5
        )
        tone = tone * (1 - stone) + grey * stone
        height = torch.maximum(height, stone * (1 - (found.nearest / 0.8).square()).clamp_min(0).sqrt())
    return Surface(tone=tone, height=height * style.uniform(0, 4), pitch_px=pitch, angle_rad=0.0)


def panel(canvas: Canvas, style: Style) -> Surface:
    """Fixed lines on a clouded ground, alike in every image: cells, boards, moulded parts."""
    rows, columns = canvas.rows_columns()
    size = canvas.size_px
    jitter = float(style.uniform(0, 2))
    v, u = rows / size + 0.5 + canvas.uniform(-jitter, jitter) / size, columns / size + 0.5
    u = u + canvas.uniform(-jitter, jitter) / size
    tone = float(style.uniform(0.1, 0.5)) * spectral(
        canvas, slope=float(style.uniform(0.7, 1.6)), shortest_px=2
    )
    for axis in (v, u):
        for place in style.uniform(0, 1, style.integers(0, 4)):
            width = log_uniform(style, 0.006, 0.04)
            line = torch.exp(-(((axis - float(place)) / width) ** 2))
            tone = tone + float(style.choice([-2, 2]) * style.uniform(0.5, 1)) * line
    fingers = float(style.choice([0, 1])) * (2 * math.pi * v * size / log_uniform(style, 3, 8)).cos()
    vignette = ((v - 0.5).square() + (u - 0.5).square()) * float(style.uniform(-2, 2))
    return _flat(tone + float(style.uniform(0, 0.4)) * fingers + vignette, size / 4)


FAMILIES: Mapping[str, SurfaceFunction] = {
    "fractal": fractal,
    "gabor": gabor,
    "blotches": blotches,
    "cellular": cellular,
    "periodic": periodic,
    "weave": weave,
    "mesh": mesh,
    "bricks": bricks,
    "brushed": brushed,
    "stripes": stripes,
    "turing": turing,
    "fibres": fibres,
    "dots": dots,
    "grain": grain,
    "knit": knit,
    "planks": planks,
    "veins": veins,
    "aggregate": aggregate,
    "panel": panel,
}
"""Every family by name."""

HELD_OUT_FAMILIES = ("knit", "planks", "veins", "aggregate", "panel")
"""Never trained on: recipes are compared on them."""

TRAINING_FAMILIES = tuple(name for name in FAMILIES if name not in HELD_OUT_FAMILIES)
