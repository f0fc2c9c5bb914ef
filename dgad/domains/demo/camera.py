"""Light, lens and sensor: what makes two photographs of one flawless surface differ."""

# S pixels a side

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dgad.domains.demo.noise import Array


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """One exposure: the same for the surface with and without its defect."""

    light: Array
    """Brightness factor, RGB (S, S, 3)."""
    blur_px: float
    noise: Array
    """Sensor noise of deviation 1, RGB (S, S, 3)."""
    shot_noise: float
    read_noise: float

    def take(self, pixels: Array) -> npt.NDArray[np.uint8]:
        """The photograph, uint8 RGB (S, S, 3)."""
        seen = ndimage.gaussian_filter(pixels * self.light, (self.blur_px, self.blur_px, 0))
        deviation = np.sqrt(self.read_noise**2 + self.shot_noise**2 * np.clip(seen, 0, None))
        noisy = seen + deviation * self.noise
        return np.asarray(np.rint(np.clip(noisy, 0, 1) * 255), dtype=np.uint8)


def draw_shot(rng: np.random.Generator, size_px: int, photometric: float) -> Shot:
    """A random exposure; `photometric` scales how much light and colour change between images (usually 1)."""
    unit = np.linspace(-0.5, 0.5, size_px, dtype=np.float32)
    y, x = np.meshgrid(unit, unit, indexing="ij")
    angle, tilt = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.05)
    gain = np.exp(rng.normal(0, 0.03 * photometric))
    balance = np.exp(rng.normal(0, 0.005 * photometric, 3))
    fall_off = rng.uniform(0, 0.08) * photometric
    field = gain * (
        1 + photometric * tilt * (np.cos(angle) * x + np.sin(angle) * y) - fall_off * (x * x + y * y)
    )
    return Shot(
        light=(field[..., None] * balance).astype(np.float32),
        blur_px=float(rng.uniform(0.3, 0.55) * size_px / 128),
        noise=rng.standard_normal((size_px, size_px, 3), dtype=np.float32),
        shot_noise=float(rng.uniform(0.005, 0.02)),
        read_noise=float(rng.uniform(0.004, 0.010)),
    )
