"""From relief and tone to colour: palette, shading and the small marks that are normal on a surface."""

# N images, S pixels a side

import numpy as np
import torch
from torch import Tensor

from dgad.domains.procedural.fields import Canvas, gaussian_blur, slopes, spectral, standard
from dgad.domains.procedural.surfaces import Style, Surface, log_uniform


def paint(canvas: Canvas, style: Style, surface: Surface) -> Tensor:
    """Flawless pixels before light and camera, RGB (N, 3, S, S), about 0 to 1.

    All images of a domain share mean, contrast and palette; each keeps a contrast of its own within them.
    """
    tone = standard(surface.tone + 0 * surface.height)
    if style.random() < 0.7:  # what is too fine or too faint for the family's own pattern
        fine = spectral(canvas, slope=float(style.uniform(0, 1)), shortest_px=log_uniform(style, 1.5, 4))
        tone = tone + log_uniform(style, 0.03, 0.5) * fine
    if style.random() < 0.4:
        tone = tone + float(style.uniform(0.1, 0.6)) * spectral(canvas, slope=1.5, longest_px=60)
    mean, contrast = float(style.uniform(0.25, 0.75)), log_uniform(style, 0.015, 0.2)
    grey = mean + contrast * tone.clamp(-3.5, 3.5)
    pixels = grey[:, None] * torch.ones(1, 3, 1, 1, device=grey.device)
    if style.random() < 0.55:
        pixels = _coloured(canvas, style, pixels, tone, contrast)
    if float(surface.height.abs().max()) > 0:
        pixels = pixels * _lit(canvas, style, surface.height)[:, None]
    if style.random() < 0.4:
        pixels = pixels + _normal_marks(canvas, style, contrast)[:, None]
    return pixels.clamp(0, 1.2)


def _coloured(canvas: Canvas, style: Style, pixels: Tensor, tone: Tensor, contrast: float) -> Tensor:
    """A tint, and often a second hue that follows the tone or a field of its own."""
    tint = 1 + style.normal(0, 0.12, 3)
    pixels = pixels * _channels(tint, pixels)
    if style.random() < 0.6:
        hue = style.normal(0, 1, 3)
        hue = (hue - hue.mean()) * contrast * style.uniform(0.1, 0.8)
        where = tone if style.random() < 0.6 else spectral(canvas, slope=1.2, shortest_px=3, longest_px=40)
        pixels = pixels + where[:, None].clamp(-3, 3) * _channels(hue, pixels)
    return pixels


def _channels(values: "np.ndarray[tuple[int], np.dtype[np.float64]]", like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, 3, 1, 1)


def _lit(canvas: Canvas, style: Style, height: Tensor) -> Tensor:
    """Lambert brightness around 1; the lamp stands where it stands, within a few degrees."""
    down, right = slopes(gaussian_blur(height[:, None], 0.6)[:, 0])
    angle = float(style.uniform(0, 2 * np.pi)) + 0.05 * canvas.uniform(-1, 1)
    relief = float(style.uniform(0.05, 0.5))
    return (1 + relief * (angle.cos() * right + angle.sin() * down)).clamp(0.3, 1.8)


def _normal_marks(canvas: Canvas, style: Style, contrast: float) -> Tensor:
    """Dust, pores and glints that every image has some of: rare, small, and no defect."""
    size = canvas.size_px
    share = log_uniform(style, 0.3, 8) / size**2 * size / 16
    dots = (canvas.uniform(0, 1, canvas.num_images, size, size) < share).float()
    sign = float(style.choice([-1, 1]))
    width = float(style.uniform(0.5, 0.9))
    spread = gaussian_blur(dots[:, None], width)[:, 0] * (2 * np.pi * width**2)
    return sign * contrast * float(style.uniform(0.5, 2.5)) * spread.clamp(0, 1)
