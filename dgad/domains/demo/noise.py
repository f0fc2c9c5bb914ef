"""The few kinds of noise that surfaces and defects are made of."""

# H, W pixels down and across; a unit of length is 1/128 of an image of 128 px, which shows 128 units

import dataclasses

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Array = npt.NDArray[np.float32]

UNITS = 128
"""Units of material that a picture shows at least, down and across."""
_LARGE_PX = 2**17
"""From so many pixels on, noise is drawn on a grid as coarse as its scale allows."""
_COARSE_SIGMA = 1.5
"""Smoothness in steps of that grid, at least: bicubic interpolation between them then leaves no trace."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """What a picture shows of the material: a larger one shows more of it, not larger threads."""

    height: int
    """Pixels."""
    width: int
    px_per_unit: float
    """Pixels a unit of length; 1 unless the picture is smaller than `UNITS` pixels."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (H, W)."""
        return self.height, self.width

    @property
    def area(self) -> float:
        """Shown material, in squares of `UNITS` a side."""
        return self.height * self.width / (self.px_per_unit * UNITS) ** 2


def make_canvas(width: int, height: int) -> Canvas:
    """The canvas of a picture: a pixel a unit, or fewer where `UNITS` would not fit otherwise."""
    return Canvas(height=height, width=width, px_per_unit=min(1.0, min(width, height) / UNITS))


def places(canvas: Canvas) -> tuple[Array, Array]:
    """Every pixel's place (v, u) in units from the upper left corner, (H, W) each."""
    down, across = (np.arange(n, dtype=np.float32) / np.float32(canvas.px_per_unit) for n in canvas.shape)
    v, u = np.meshgrid(down, across, indexing="ij")
    return v, u


def coordinates(
    canvas: Canvas, rng: np.random.Generator, *, tilt_rad: float, zoom: float
) -> tuple[Array, Array]:
    """Surface coordinates (v, u) in units, turned about `tilt_rad`, with a random phase."""
    y, x = places(canvas)
    angle = tilt_rad + rng.normal(0, 0.04)
    scale = zoom * (1 + rng.normal(0, 0.025))
    shift_v, shift_u = rng.uniform(0, 1000, size=2)
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    return (sin * x + cos * y + shift_v).astype(np.float32), (cos * x - sin * y + shift_u).astype(np.float32)


def smooth(rng: np.random.Generator, canvas: Canvas, scale: float, *, stretch: float = 1.0) -> Array:
    """Gaussian noise, mean 0, deviation 1; `scale` in units, `stretch` times that along x."""
    sigma = np.array([scale, scale * stretch]) * canvas.px_per_unit
    stride = max(1, int(sigma.min() // _COARSE_SIGMA)) if canvas.height * canvas.width > _LARGE_PX else 1
    rows, columns = (-(-n // stride) for n in canvas.shape)
    white = rng.standard_normal((rows, columns), dtype=np.float32)
    field = ndimage.gaussian_filter(white, sigma / stride, mode="wrap")
    if stride > 1:
        whole = Image.fromarray(field).resize((columns * stride, rows * stride), Image.Resampling.BICUBIC)
        field = np.asarray(whole)[: canvas.height, : canvas.width]
    return standard(field)


def fractal(rng: np.random.Generator, canvas: Canvas, *, slope: float = 1.0, coarsest: float = 64.0) -> Array:
    """Noise with amplitude falling as frequency^-slope, mean 0 and deviation 1; `coarsest` in units."""
    per_picture = UNITS * canvas.px_per_unit
    down, across = (np.fft.fftfreq(n) * per_picture for n in canvas.shape)
    radius = np.hypot(down[:, None], across[None, : canvas.width // 2 + 1]).astype(np.float32)
    amplitude = np.where(radius < UNITS / coarsest, 0, np.maximum(radius, 1) ** -slope)
    white = np.fft.rfft2(rng.standard_normal(canvas.shape, dtype=np.float32))
    return standard(np.fft.irfft2(white * amplitude, s=canvas.shape).astype(np.float32))


def cells(
    rng: np.random.Generator, v: Array, u: Array, pitch: float
) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """Distances in pitches to the nearest and next of scattered points, and the nearest one's number.

    The points lie one in each cell of a grid, so the nearest two are among those of a pixel's own cell and
    of the eight around it.
    """
    low_v, low_u = float(v.min()) - 2 * pitch, float(u.min()) - 2 * pitch
    rows = int((float(v.max()) - low_v) / pitch) + 3
    columns = int((float(u.max()) - low_u) / pitch) + 3
    jitter = rng.uniform(-0.45, 0.45, (rows * columns, 2)).astype(np.float32)
    v, u = (v - low_v) / np.float32(pitch), (u - low_u) / np.float32(pitch)  # grid points lie at integers
    own = np.rint(v).astype(np.int64) * columns + np.rint(u).astype(np.int64)
    off_v, off_u = v - np.rint(v), u - np.rint(u)
    nearest, second = np.full(v.shape, np.inf, np.float32), np.full(v.shape, np.inf, np.float32)
    number = own
    for row in (-1, 0, 1):
        for column in (-1, 0, 1):
            index = own + (row * columns + column)
            to_v = jitter[:, 0][index] + (row - off_v)
            to_u = jitter[:, 1][index] + (column - off_u)
            squared = to_v * to_v + to_u * to_u
            second = np.minimum(second, np.maximum(nearest, squared))
            number = np.where(squared < nearest, index, number)
            nearest = np.minimum(nearest, squared)
    return np.sqrt(nearest), np.sqrt(second), number


def of_number(rng: np.random.Generator, number: npt.NDArray[np.int64]) -> Array:
    """A normal random value per integer of `number`, the same wherever that integer stands."""
    low = int(number.min())
    table = rng.standard_normal(int(number.max()) - low + 1).astype(np.float32)
    return np.asarray(table[number - low], dtype=np.float32)


def specks(rng: np.random.Generator, canvas: Canvas, *, count: float) -> Array:
    """Pores and glints: some `count` dots on 128 by 128 units, a unit wide, of height -1 to 1 on 0."""
    dots = np.zeros(canvas.shape, dtype=np.float32)
    number = rng.poisson(count * canvas.area)
    rows, columns = rng.integers(0, np.array(canvas.shape)[:, None], (2, number))
    dots[rows, columns] = rng.uniform(0.5, 1.0, number) * rng.choice([-1, 1], number)
    width = 0.6 * canvas.px_per_unit
    spread = ndimage.gaussian_filter(dots, width, mode="wrap") * (2 * np.pi * width**2)
    return np.asarray(np.clip(spread, -1, 1), dtype=np.float32)


def shade(height: Array, canvas: Canvas, *, light_rad: float, relief: float) -> Array:
    """Lambert brightness around 1 of a height field lit from direction `light_rad`."""
    slope_v, slope_u = np.gradient(height)
    factor = np.float32(relief * canvas.px_per_unit)
    lit = 1 + factor * (np.float32(np.cos(light_rad)) * slope_u + np.float32(np.sin(light_rad)) * slope_v)
    return np.asarray(np.clip(lit, 0.3, 1.8), dtype=np.float32)


def shift(image: Array, dv: Array, du: Array) -> Array:
    """Each channel of `image` read at displaced places (in pixels), edges reflected."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    read_at = [rows + dv, columns + du]
    channels = np.atleast_3d(image)
    moved = [
        ndimage.map_coordinates(channels[..., c], read_at, order=1, mode="reflect")
        for c in range(channels.shape[2])
    ]
    return np.stack(moved, axis=-1).reshape(image.shape).astype(np.float32)


def standard(values: Array) -> Array:
    """Shift and scale values to mean 0 and standard deviation 1."""
    return np.asarray((values - values.mean()) / (values.std() + 1e-6), dtype=np.float32)


def step(values: Array, edge: float, width: float) -> Array:
    """0 below `edge`, 1 above, a smooth ramp of `width` between."""
    t = np.clip((values - edge) / width + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def colour(tone: Array, dark: npt.NDArray[np.float64], light: npt.NDArray[np.float64]) -> Array:
    """RGB (H, W, 3) between two colours by a tone in 0 to 1 (H, W)."""
    mix = tone[..., None]
    return (dark * (1 - mix) + light * mix).astype(np.float32)
