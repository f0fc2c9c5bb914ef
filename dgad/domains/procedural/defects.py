"""Procedural defects: what they do to the pixels of flawless images, in one visible dict of kinds.

Strength is measured in the surface's own contrast, from barely visible upwards, and tones go to either
side, so that no grey value tells a defect: its shape and its place do.
"""

# N images, S pixels a side, M points of a path; lengths in px at 128 px a side

import dataclasses
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from dgad.domains.procedural.fields import (
    Canvas,
    displace,
    gaussian_blur,
    smooth,
    spectral,
    standard,
    step,
)
from dgad.domains.procedural.surfaces import Style, log_uniform


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Flawless:
    """What a defect is put on: one domain's painted images and what is known of their pattern."""

    pixels: Tensor
    """RGB (N, 3, S, S)."""
    stranger: Tensor
    """RGB (N, 3, S, S): another surface, from which foreign matter is cut."""
    pitch_px: float
    angle_rad: float


DefectFunction = Callable[[Flawless, Canvas, Style, float], Tensor]
"""(flawless, canvas, style, strength) -> changed pixels; strength is in deviations of the surface."""


def scratch(on: Flawless, canvas: Canvas, style: Style, strength: float) -> Tensor:
    """Long thin lines, straight or slightly bent, fading at their ends."""
    line = torch.zeros((canvas.num_images, canvas.size_px, canvas.size_px), device=canvas.device)
    for _ in range(style.integers(1, 4)):
        line = torch.maximum(
            line, _line(canvas, style, jitter=0.0, bend=0.02, width=log_uniform(style, 0.5, 2))
        )
    return _blend(on.pixels, line, _colour(on, style, strength))


def crack(on: Flawless, canvas: Canvas, style: Style, strength: float) -> Tensor:
    """Jagged lines of uneven width, usually dark."""
    line = torch.zeros((canvas.num_images, canvas.size_px, canvas.size_px), device=canvas.device)
    for _ in range(style.integers(1, 4)):
        width = log_uniform(style, 0.5, 2.0)
        line = torch.maximum(line, _line(canvas, style, jitter=0.5, bend=0.04, width=width))
    line = line * (0.75 + 0.25 * smooth(canvas, 4)).clamp(0.2, 1)
    return _blend(on.pixels, line, _colour(on, style, strength, dark=0.8))


def stain(on: Flawless, canvas: Canvas, style: Style, strength: float) -> Tensor:
    """A see-through blot that keeps the pattern and changes its tone, soft or with a rim."""
    inside = _blob(canvas, style, log_uniform(style, 5, 30))
    soft = step(inside, 0.0, log_uniform(style, 0.08, 1.0))
    rim = torch.exp(-((inside / 0.1) ** 2)) * float(style.choice([0.0, style.uniform(0, 1)]))
    shift = _colour(on, style, 0.6 * strength) - on.pixels.mean((2, 3), keepdim=True)
    return on.pixels + (soft + rim)[:, None] * shift


def spots(on: Flawless, canvas: Canvas, style: Style, strength: float) -> Tensor:
    """A group of small dots: splashes, pits, rust."""
    alpha = torch.zeros((canvas.num_images, canvas.size_px, canvas.size_px), device=canvas.device)
    for _ in range(style.integers(2, 8)):
        alpha = torch.maximum(alpha, step(_blob(canvas, style, log_uniform(style, 1.2, 4)), 0.0, 0.4))
    return _blend(on.pixels, alpha, _colour(on, style, 1.3 * strength))


def hole(on: Flawless, canvas: Canvas, style: Style, strength: float) -> Tensor:
    """A pit with a lit edge."""
    alpha = step(_blob(canvas, style, log_uniform(style, 2.5, 12)), 0.0, 0.3)
    pit = _blend(on.pixels, alpha, _colour(on, style, 1.3 * strength, dark=0.7))
    axis = int(style.integers(1, 3))
    edge = torch.gradient(gaussian_blur(alpha[:, None], 0.8)[:, 0], dim=axis)[0]
    return pit + (0.8 * strength * _deviation(on) * float(style.choice([-1, 1]))) * edge[:, None]


def foreign(on: Flawless, canvas: Canvas, style: Style, strength: float) -> Tensor:
    """A piece of another surface lies on this one, or shines through."""
    alpha = step(_blob(canvas, style, log_uniform(style, 4, 18)), 0.0, 0.2)
    piece = on.stranger
    if style.random() < 0.5:  # of the same brightness: only its texture differs
        piece = piece - piece.mean((2, 3), keepdim=True) + on.pixels.mean((2, 3), keepdim=True)
    return on.pixels + min(1.0, 0.25 * strength + 0.2) * alpha[:, None] * (piece - on.pixels)


def blurred(on: Flawless, canvas: Canvas, style: Style, strength: float) -> Tensor:
    """The pattern is smeared, worn or filled."""
    alpha = step(_blob(canvas, style, log_uniform(style, 8, 26)), 0.0, 0.3)
    worn = gaussian_blur(on.pixels, min(12.0, max(1.0, on.pitch_px * 0.25) * (0.5 + 0.3 * strength)))
    return on.pixels + alpha[:, None] * (worn - on.pixels)


def bent(on: Flawless, canvas: Canvas, style: Style, strength: float) -> Tensor:
    """The pattern is pushed aside around one place."""
    radius = log_uniform(style, 6, 20)
    weight = step(_blob(canvas, style, radius), 0.3, 1.2)
    push = min(0.6 * radius, on.pitch_px * (0.15 + 0.15 * strength))
    angle = canvas.uniform(0, 2 * math.pi)
    return displace(on.pixels, push * weight * angle.sin(), push * weight * angle.cos())


def misaligned(on: Flawless, canvas: Canvas, style: Style, strength: float) -> Tensor:
    """A piece of the same surface from elsewhere: turned, mirrored or shifted."""
    alpha = step(_blob(canvas, style, log_uniform(style, 8, 22)), 0.0, 0.15)
    how = style.integers(3)
    moved = on.pixels.roll((17, 23), (2, 3)) if how == 0 else on.pixels.flip(2) if how == 1 else on.pixels.mT
    gain = 1 + 0.05 * strength * float(style.choice([-1, 0, 1]))
    return on.pixels + alpha[:, None] * (gain * moved - on.pixels)


def missing(on: Flawless, canvas: Canvas, style: Style, strength: float) -> Tensor:
    """A stretch along the pattern is gone: a pulled thread, an interrupted bar, an unprinted line."""
    angle = on.angle_rad + float(style.choice([0, math.pi / 2]))
    rows, columns = canvas.rows_columns()
    scale = canvas.size_px / 128
    half = 45 * scale
    dv, du = rows - canvas.uniform(-half, half), columns - canvas.uniform(-half, half)
    along = math.cos(angle) * du - math.sin(angle) * dv
    across = math.sin(angle) * du + math.cos(angle) * dv
    width = min(10.0, on.pitch_px * float(style.uniform(0.25, 0.7)))
    length = log_uniform(style, 8, 60) * scale
    band = step(width / 2 - across.abs(), 0.0, 1.0) * step(length - along.abs(), 0.0, 3.0)
    return _blend(on.pixels, band, _colour(on, style, strength, dark=0.6))


def rough(on: Flawless, canvas: Canvas, style: Style, strength: float) -> Tensor:
    """An area of additional texture: abrasion, corrosion, crumbling."""
    alpha = step(_blob(canvas, style, log_uniform(style, 6, 24)), 0.0, 0.4)
    noise = spectral(canvas, slope=float(style.uniform(-0.3, 0.8)), shortest_px=log_uniform(style, 2, 6))
    return on.pixels + (alpha * noise)[:, None] * (0.5 * strength * _deviation(on))


def drift(on: Flawless, canvas: Canvas, style: Style, strength: float) -> Tensor:
    """A wide band or half of the image in another shade or colour."""
    rows, columns = canvas.rows_columns()
    angle = canvas.uniform(0, 2 * math.pi)
    distance = (angle.cos() * columns + angle.sin() * rows) / (canvas.size_px / 2)
    edge, width = canvas.uniform(0.0, 0.6), canvas.uniform(0.2, 0.6)
    band = step(distance, edge, 0.08) * (1 - step(distance, edge + width, 0.08))
    shift = _colour(on, style, 0.4 * strength) - on.pixels.mean((2, 3), keepdim=True)
    return on.pixels + band[:, None] * shift


def fibre(on: Flawless, canvas: Canvas, style: Style, strength: float) -> Tensor:
    """A curled hair or thread with its shadow."""
    line = _line(canvas, style, jitter=0.0, bend=0.12, width=log_uniform(style, 0.6, 1.6))
    shadow = gaussian_blur(line.roll((1, 1), (1, 2))[:, None], 0.8)[:, 0]
    shaded = on.pixels - 0.4 * strength * _deviation(on) * shadow[:, None]
    return _blend(shaded, line, _colour(on, style, strength))


def dent(on: Flawless, canvas: Canvas, style: Style, strength: float) -> Tensor:
    """A shallow bump that only shades: lit on one side, dark on the other."""
    inside = step(_blob(canvas, style, log_uniform(style, 5, 16)), 0.2, 1.4)
    down, right = torch.gradient(gaussian_blur(inside[:, None], 1.5)[:, 0], dim=(1, 2))
    angle = canvas.uniform(0, 2 * math.pi)
    slope = angle.cos() * right + angle.sin() * down
    slope = slope / slope.abs().amax((1, 2), keepdim=True).clamp_min(1e-6)
    return on.pixels + 1.2 * strength * _deviation(on) * slope[:, None]


def fold(on: Flawless, canvas: Canvas, style: Style, strength: float) -> Tensor:
    """A pressed crease: a dark valley beside a light shoulder."""
    width = log_uniform(style, 1.0, 2.5)
    valley = _line(canvas, style, jitter=0.0, bend=0.02, width=width)
    shoulder = _rolled(valley, round(2 * width))
    return on.pixels + (strength * _deviation(on)) * (0.7 * shoulder - valley)[:, None]


DEFECTS: Mapping[str, DefectFunction] = {
    "scratch": scratch,
    "crack": crack,
    "stain": stain,
    "spots": spots,
    "hole": hole,
    "foreign": foreign,
    "blurred": blurred,
    "bent": bent,
    "misaligned": misaligned,
    "missing": missing,
    "rough": rough,
    "drift": drift,
    "fibre": fibre,
    "dent": dent,
    "fold": fold,
}
"""Every kind of defect by name."""

HELD_OUT_DEFECTS = ("fibre", "dent", "fold")
"""Never trained on, as the held-out families."""

TRAINING_DEFECTS = tuple(name for name in DEFECTS if name not in HELD_OUT_DEFECTS)


def _deviation(on: Flawless) -> Tensor:
    """What one unit of strength is: the surface's own contrast, but never less than two grey values."""
    deviation = on.pixels.mean(1).flatten(1).std(1).clamp(0.008, 0.15)
    return deviation.view(-1, 1, 1, 1)


def _colour(on: Flawless, style: Style, strength: float, *, dark: float = 0.5) -> Tensor:
    """A colour (N, 3, 1, 1) `strength` deviations off the mean, darker with probability `dark`."""
    sign = -1.0 if style.random() < dark else 1.0
    hue = torch.ones(3, device=on.pixels.device)
    if style.random() < 0.35:
        hue = hue + torch.tensor(style.normal(0, 0.5, 3), dtype=torch.float32, device=hue.device)
    away = sign * 1.8 * strength * _deviation(on) * hue.view(1, 3, 1, 1)
    return (on.pixels.mean((2, 3), keepdim=True) + away).clamp(0, 1.1)


def _blend(pixels: Tensor, alpha_NSS: Tensor, colour: Tensor) -> Tensor:
    return pixels + alpha_NSS[:, None].clamp(0, 1) * (colour - pixels)


def _rolled(field_NSS: Tensor, pixels: int) -> Tensor:
    return field_NSS.roll((pixels, pixels), (1, 2))


def _blob(canvas: Canvas, style: Style, radius: float) -> Tensor:
    """Positive inside an irregular spot, about 1 in its middle, 0 at its edge; (N, S, S)."""
    scale = canvas.size_px / 128
    rows, columns = canvas.rows_columns()
    reach = max(8.0, 60 - radius) * scale
    dv, du = rows - canvas.uniform(-reach, reach), columns - canvas.uniform(-reach, reach)
    angle, stretch = canvas.uniform(0, math.pi), canvas.uniform(0.6, 1.6)
    along = (angle.cos() * du + angle.sin() * dv) * stretch
    across = (angle.cos() * dv - angle.sin() * du) / stretch
    distance = torch.hypot(along, across) / (radius * scale)
    wobble = float(style.uniform(0.1, 0.45)) * standard(smooth(canvas, max(1.5, radius / 3))).clamp(-1.5, 1.5)
    return 1 - distance + wobble * torch.exp(-(((distance - 1) / 0.8) ** 2))


def _line(canvas: Canvas, style: Style, *, jitter: float, bend: float, width: float) -> Tensor:
    """Opacity (N, S, S) of one wandering line an image, one pixel soft, thinner towards its ends."""
    scale = canvas.size_px / 128
    num_images, num_points = canvas.num_images, 96
    length = log_uniform(style, 15, 110) * scale
    turn = bend * canvas.normal(num_images, 1) + 2 * bend * canvas.normal(num_images, num_points)
    heading = canvas.uniform(0, 2 * math.pi, num_images, 1) + turn.cumsum(1)
    kinks = jitter * canvas.normal(num_images, num_points // 6).repeat_interleave(6, dim=1)
    moves = torch.stack(((heading + kinks).sin(), (heading + kinks).cos()), dim=-1) * (length / num_points)
    path = moves.cumsum(1)
    path = path - path.mean(1, keepdim=True) + canvas.uniform(-40 * scale, 40 * scale, num_images, 1, 2)
    rows, columns = canvas.rows_columns()
    places = torch.stack((rows[0], columns[0]), dim=-1).view(1, -1, 2)
    distance, nearest = torch.cdist(places.expand(num_images, -1, -1), path).min(2)
    along = nearest.float() / (num_points - 1)
    taper = (math.pi * along.clamp(0.04, 0.96)).sin().sqrt()
    opacity = (width * taper / 2 + 0.5 - distance).clamp(0, 1)
    return opacity.view(num_images, canvas.size_px, canvas.size_px)
