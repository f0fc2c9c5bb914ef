"""The few kinds of noise that surfaces and defects are made of."""

# S pixels a side

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

Array = npt.NDArray[np.float32]


def coordinates(
    size_px: int, rng: np.random.Generator, *, tilt_rad: float, zoom: float
) -> tuple[Array, Array]:
    """Surface coordinates (v, u) in 1/128 of the image, turned about `tilt_rad`, with a random phase.

    The unit does not depend on the number of pixels, so a surface keeps its scale at any size.
    """
    unit = np.linspace(0, 128, size_px, endpoint=False, dtype=np.float32)
    y, x = np.meshgrid(unit, unit, indexing="ij")
    angle = tilt_rad + rng.normal(0, 0.04)
    scale = zoom * (1 + rng.normal(0, 0.025))
    shift_v, shift_u = rng.uniform(0, 1000, size=2)
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    return (sin * x + cos * y + shift_v).astype(np.float32), (cos * x - sin * y + shift_u).astype(np.float32)


def smooth(rng: np.random.Generator, size_px: int, scale: float, *, stretch: float = 1.0) -> Array:
    """Gaussian noise, mean 0, deviation 1; `scale` in 1/128 of the image, `stretch` times that along x."""
    sigma = np.array([scale, scale * stretch]) * size_px / 128
    white = rng.standard_normal((size_px, size_px), dtype=np.float32)
    return standard(ndimage.gaussian_filter(white, sigma, mode="wrap"))


def fractal(rng: np.random.Generator, size_px: int, *, slope: float = 1.0, coarsest: float = 64.0) -> Array:
    """Noise with amplitude falling as frequency^-slope, mean 0 and deviation 1; tileable."""
    frequency = np.fft.fftfreq(size_px) * size_px
    radius = np.hypot(frequency[:, None], frequency[None, : size_px // 2 + 1]).astype(np.float32)
    amplitude = np.where(radius < 128 / coarsest, 0, np.maximum(radius, 1) ** -slope)
    white = np.fft.rfft2(rng.standard_normal((size_px, size_px), dtype=np.float32))
    return standard(np.fft.irfft2(white * amplitude, s=(size_px, size_px)).astype(np.float32))


def cells(
    rng: np.random.Generator, v: Array, u: Array, pitch: float
) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """Distances in pitches to the nearest and next of scattered points, and the nearest one's number."""
    low_v, low_u = float(v.min()) - 2 * pitch, float(u.min()) - 2 * pitch
    rows = int((float(v.max()) - low_v) / pitch) + 3
    columns = int((float(u.max()) - low_u) / pitch) + 3
    grid = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).reshape(-1, 2)
    points = (grid + rng.uniform(-0.45, 0.45, grid.shape)) * pitch + (low_v, low_u)
    distance, index = cKDTree(points).query(np.stack([v.ravel(), u.ravel()], axis=1), k=2)
    nearest, second = (distance / pitch).astype(np.float32).T.reshape(2, *v.shape)
    return nearest, second, index[:, 0].reshape(v.shape).astype(np.int64)


def of_number(rng: np.random.Generator, number: npt.NDArray[np.int64]) -> Array:
    """A normal random value per integer of `number`, the same wherever that integer stands."""
    low = int(number.min())
    table = rng.standard_normal(int(number.max()) - low + 1).astype(np.float32)
    return np.asarray(table[number - low], dtype=np.float32)


def specks(rng: np.random.Generator, size_px: int, *, count: float) -> Array:
    """Pores and glints: about `count` dots an image, a 1/128 wide, of height -1 to 1 on 0."""
    dots = np.zeros((size_px, size_px), dtype=np.float32)
    number = rng.poisson(count)
    rows, columns = rng.integers(0, size_px, (2, number))
    dots[rows, columns] = rng.uniform(0.5, 1.0, number) * rng.choice([-1, 1], number)
    width = 0.6 * size_px / 128
    spread = ndimage.gaussian_filter(dots, width, mode="wrap") * (2 * np.pi * width**2)
    return np.asarray(np.clip(spread, -1, 1), dtype=np.float32)


def shade(height: Array, *, light_rad: float, relief: float) -> Array:
    """Lambert brightness around 1 of a height field lit from direction `light_rad`."""
    slope_v, slope_u = np.gradient(height)
    factor = relief * height.shape[0] / 128
    lit = 1 + factor * (np.cos(light_rad) * slope_u + np.sin(light_rad) * slope_v)
    return np.asarray(np.clip(lit, 0.3, 1.8), dtype=np.float32)


def shift(image: Array, dv: Array, du: Array) -> Array:
    """Each channel of `image` read at displaced places (in pixels), edges reflected."""
    size_px = image.shape[0]
    rows, columns = np.mgrid[:size_px, :size_px].astype(np.float32)
    places = [rows + dv, columns + du]
    channels = np.atleast_3d(image)
    moved = [
        ndimage.map_coordinates(channels[..., c], places, order=1, mode="reflect")
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
    """RGB (S, S, 3) between two colours by a tone in 0 to 1 (S, S)."""
    mix = tone[..., None]
    return (dark * (1 - mix) + light * mix).astype(np.float32)
