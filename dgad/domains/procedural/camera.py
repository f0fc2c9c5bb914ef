"""Light, lens, sensor and compression: what makes two photographs of one flawless surface differ."""

# N images, S pixels a side

import dataclasses
import math

import torch
from torch import Tensor

from dgad.domains.procedural.fields import Canvas, gaussian_blur
from dgad.domains.procedural.surfaces import Style, log_uniform


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Exposure:
    """One exposure an image; the same for the surface with and without its defect."""

    light: Tensor
    """Brightness factor, RGB (N, 3, S, S)."""
    blur_px: float
    defocus: Tensor
    """Share of a wider blur in each image, 0 to 1, (N, 1, 1, 1)."""
    gamma: Tensor
    """Tone curve of each image, (N, 1, 1, 1)."""
    noise: Tensor
    """Sensor noise in units of brightness, RGB (N, 3, S, S)."""
    quality: float
    """Of JPEG compression, 0 to 1; 0 keeps every pixel."""

    def of(self, index: int) -> "Exposure":
        """Give the exposure of one image of the batch."""
        one = slice(index, index + 1)
        return dataclasses.replace(
            self,
            light=self.light[one],
            defocus=self.defocus[one],
            gamma=self.gamma[one],
            noise=self.noise[one],
        )

    def expose(self, pixels: Tensor) -> Tensor:
        """Light and lens without noise: what a defect's visibility is judged on; 0 to 1."""
        sharp = gaussian_blur((pixels * self.light).clamp(1e-3, 1).pow(self.gamma), self.blur_px)
        return sharp + self.defocus * (gaussian_blur(sharp, 1.2) - sharp)

    def take(self, exposed: Tensor) -> Tensor:
        """The photograph, uint8 (N, 3, S, S)."""
        noisy = exposed + self.noise * exposed.clamp(0.05, 1).sqrt()
        if self.quality > 0:
            noisy = _compress(noisy, self.quality)
        return (noisy * 255).round().clamp(0, 255).to(torch.uint8)


def draw_exposure(canvas: Canvas, style: Style) -> Exposure:
    """One exposure an image, from a camera and lamps that the domain's images share."""
    num_images, size = canvas.num_images, canvas.size_px
    rows, columns = canvas.rows_columns()
    y, x = rows / size, columns / size
    gain = (log_uniform(style, 0.005, 0.2) * canvas.normal(num_images, 1, 1)).exp()
    angle = float(style.uniform(0, 2 * math.pi)) + 0.5 * canvas.normal(num_images, 1, 1)
    tilt = log_uniform(style, 0.01, 0.25) * (1 + 0.3 * canvas.normal(num_images, 1, 1))
    fall_off = float(style.uniform(-0.05, 0.35))
    field = gain * (1 + tilt * (angle.cos() * x + angle.sin() * y) - fall_off * (x * x + y * y))
    balance = (float(style.uniform(0, 0.012)) * canvas.normal(num_images, 3, 1, 1)).exp()
    grain = canvas.normal(num_images, 1 if style.random() < 0.4 else 3, size, size)
    grain = gaussian_blur(grain, float(style.choice([0.0, 0.0, 0.5])))
    return Exposure(
        light=field[:, None] * balance,
        blur_px=float(style.uniform(0.0, 0.9)),
        defocus=float(style.choice([0.0, style.uniform(0, 0.8)])) * canvas.uniform(0, 1, num_images, 1, 1, 1),
        gamma=(log_uniform(style, 0.005, 0.15) * canvas.normal(num_images, 1, 1, 1)).exp()
        * float(style.uniform(0.8, 1.25)),
        noise=log_uniform(style, 0.002, 0.03) * grain,
        quality=float(style.choice([0.0, style.uniform(0.3, 0.95)], p=[0.6, 0.4])),
    )


_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""ITU-T T.81, table K.1."""


def _compress(pixels_N3SS: Tensor, quality: float) -> Tensor:
    """What quantising 8x8 blocks of cosine coefficients leaves, as JPEG does, every channel alike."""
    num_images, channels, size, _ = pixels_N3SS.shape
    k = torch.arange(8, device=pixels_N3SS.device, dtype=torch.float32)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    q = 100 * quality
    scale = (5000 / q if q < 50 else 200 - 2 * q) / 100
    table = torch.tensor(_LUMINANCE, device=pixels_N3SS.device, dtype=torch.float32)
    steps = (table * scale).clamp(1, 255) / 255
    blocks = pixels_N3SS.view(num_images, channels, size // 8, 8, size // 8, 8).transpose(3, 4)
    coefficients = basis @ blocks @ basis.T
    kept = (coefficients / steps).round() * steps
    return (basis.T @ kept @ basis).transpose(3, 4).reshape(pixels_N3SS.shape)
