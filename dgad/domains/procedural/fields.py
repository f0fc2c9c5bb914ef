"""Random fields, vectorised over the images of one domain and on any device.

Coordinates and lengths are in pixels. A field of the plane (`cells`, `lattice_noise`) is a function of
coordinates and a salt, so it follows whatever bends the coordinates; the others are drawn per image.
"""

# N images, S pixels a side

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """Where fields are drawn: N images of S pixels a side, one device, one stream of random numbers."""

    num_images: int
    size_px: int
    generator: torch.Generator

    @property
    def device(self) -> torch.device:
        """The device of the generator, where all is drawn."""
        return self.generator.device

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal numbers of a shape."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers; without a shape one per image, (N, 1, 1)."""
        size = shape or (self.num_images, 1, 1)
        return low + (high - low) * torch.rand(size, generator=self.generator, device=self.device)

    def rows_columns(self) -> tuple[Tensor, Tensor]:
        """Pixel coordinates (1, S, S) from the image's middle."""
        unit = torch.arange(self.size_px, device=self.device) - (self.size_px - 1) / 2
        rows, columns = torch.meshgrid(unit, unit, indexing="ij")
        return rows[None], columns[None]

    def take(self, num_images: int) -> "Canvas":
        """The same stream for another number of images."""
        return dataclasses.replace(self, num_images=num_images)


def standard(field_NSS: Tensor) -> Tensor:
    """Mean 0 and deviation 1 within each image."""
    centred = field_NSS - field_NSS.mean((1, 2), keepdim=True)
    return centred / centred.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-6)


def step(field: Tensor, edge: float | Tensor, width: float) -> Tensor:
    """0 below `edge`, 1 above, a smooth ramp of `width` between."""
    t = ((field - edge) / width + 0.5).clamp(0, 1)
    return t * t * (3 - 2 * t)


def spectral(
    canvas: Canvas,
    *,
    slope: float = 0.0,
    shortest_px: float = 2.0,
    longest_px: float = 1e6,
    angle_rad: float = 0.0,
    angular_width: float = math.inf,
) -> Tensor:
    """Noise whose amplitude falls as frequency^-slope within a band of wavelengths; (N, S, S), standard.

    `angular_width` (rad) keeps waves that run near `angle_rad` only: Gabor-like noise.
    """
    size = canvas.size_px
    fv = torch.fft.fftfreq(size, device=canvas.device)[:, None]
    fu = torch.fft.rfftfreq(size, device=canvas.device)[None]
    frequency = torch.hypot(fv, fu)
    amplitude = frequency.clamp_min(1 / size) ** -slope
    amplitude = amplitude * torch.exp(-((frequency * shortest_px / 2) ** 4))
    amplitude = amplitude * (1 - torch.exp(-((frequency * longest_px) ** 4)))
    if math.isfinite(angular_width):
        angle = torch.atan2(fv, fu) - angle_rad
        distance = torch.atan2(torch.sin(2 * angle), torch.cos(2 * angle)) / 2
        amplitude = amplitude * torch.exp(-0.5 * (distance / angular_width) ** 2)
    white = torch.fft.rfft2(canvas.normal(canvas.num_images, size, size))
    return standard(torch.fft.irfft2(white * amplitude, s=(size, size)))


def smooth(canvas: Canvas, scale_px: float) -> Tensor:
    """Noise without detail below `scale_px`; (N, S, S), standard."""
    return spectral(canvas, slope=1.0, shortest_px=2 * scale_px, longest_px=8 * scale_px)


def hash_lattice(i: Tensor, j: Tensor, salt: int) -> Tensor:
    """A number in [0, 1) for each pair of integers, the same wherever the pair stands."""
    h = i.long() * 374761393 + j.long() * 668265263 + salt * 2246822519
    h = (h ^ (h >> 13)) * 1274126177 & 0xFFFFFFFFFFFF
    h = (h ^ (h >> 16)) * 2654435761 & 0xFFFFFFFFFFFF
    return ((h ^ (h >> 15)) & 0xFFFFFF).float() / 0x1000000


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Cells:
    """Scattered points of the plane as each pixel sees them, distances in units of the pitch."""

    nearest: Tensor
    second: Tensor
    row: Tensor
    column: Tensor
    """Integers that name the nearest point."""

    def value(self, salt: int) -> Tensor:
        """A number in [0, 1) per cell."""
        return hash_lattice(self.row, self.column, salt)


def cells(v: Tensor, u: Tensor, *, salt: int, jitter: float = 0.9) -> Cells:
    """Voronoi cells of one jittered point per unit square of the coordinates (Worley noise)."""
    base_v, base_u = v.floor(), u.floor()
    nearest = torch.full_like(v, 9.0)
    second = nearest.clone()
    row, column = base_v.clone(), base_u.clone()
    for dv in (-1, 0, 1):
        for du in (-1, 0, 1):
            i, j = base_v + dv, base_u + du
            point_v = i + 0.5 + jitter * (hash_lattice(i, j, salt) - 0.5)
            point_u = j + 0.5 + jitter * (hash_lattice(i, j, salt + 1) - 0.5)
            distance = torch.hypot(v - point_v, u - point_u)
            closer = distance < nearest
            second = torch.where(closer, nearest, torch.minimum(second, distance))
            nearest = torch.where(closer, distance, nearest)
            row, column = torch.where(closer, i, row), torch.where(closer, j, column)
    return Cells(nearest=nearest, second=second, row=row, column=column)


def lattice_noise(v: Tensor, u: Tensor, *, salt: int) -> Tensor:
    """Value noise of the plane with one value per unit square, smoothly interpolated, in [-1, 1]."""
    base_v, base_u = v.floor(), u.floor()
    tv, tu = v - base_v, u - base_u
    tv, tu = tv * tv * (3 - 2 * tv), tu * tu * (3 - 2 * tu)
    corner = [[hash_lattice(base_v + i, base_u + j, salt) for j in (0, 1)] for i in (0, 1)]
    top = corner[0][0] + tu * (corner[0][1] - corner[0][0])
    bottom = corner[1][0] + tu * (corner[1][1] - corner[1][0])
    return 2 * (top + tv * (bottom - top)) - 1


def gaussian_blur(image_NcSS: Tensor, sigma_px: float) -> Tensor:
    """Each channel blurred, borders reflected; sigma 0 changes nothing."""
    if sigma_px <= 0.05:
        return image_NcSS
    radius = max(1, math.ceil(3 * sigma_px))
    offset = torch.arange(-radius, radius + 1, device=image_NcSS.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offset / sigma_px) ** 2)
    kernel = kernel / kernel.sum()
    channels = image_NcSS.shape[1]
    padded = F.pad(image_NcSS, (radius,) * 4, mode="reflect")
    across = F.conv2d(padded, kernel.view(1, 1, 1, -1).repeat(channels, 1, 1, 1), groups=channels)
    return F.conv2d(across, kernel.view(1, 1, -1, 1).repeat(channels, 1, 1, 1), groups=channels)


def displace(image_NcSS: Tensor, down_NSS: Tensor, right_NSS: Tensor) -> Tensor:
    """Each pixel read from `down`, `right` pixels beside it; borders reflected."""
    size = image_NcSS.shape[-1]
    unit = torch.arange(size, device=image_NcSS.device, dtype=torch.float32)
    rows, columns = torch.meshgrid(unit, unit, indexing="ij")
    half = (size - 1) / 2
    places = torch.stack(((columns + right_NSS) / half - 1, (rows + down_NSS) / half - 1), dim=-1)
    return F.grid_sample(image_NcSS, places, mode="bilinear", padding_mode="reflection", align_corners=True)


def slopes(height_NSS: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along rows and columns, same shape."""
    padded = F.pad(height_NSS[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    right = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    return down, right
