"""Light, lens and sensor: what makes two photographs of one flawless surface differ."""

# H, W pixels down and across

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dgad.domains.demo.noise import Array, Canvas

_NUM_SESSIONS = 3


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A setting-up of camera and light, which some of a domain's images share."""

    gain: npt.NDArray[np.float64]
    """Brightness factor, RGB (3,)."""
    tilt: npt.NDArray[np.float64]
    """Gain or loss of brightness from the picture's middle to its edge, down and across."""
    blur: float
    """Factor of the lens's blur, 0.5 to 2."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """One exposure: the same for the surface with and without its defect."""

    light: Array
    """Brightness factor, RGB (H, W, 3)."""
    blur_px: float
    noise: Array
    """Sensor noise of deviation 1, RGB (H, W, 3)."""
    shot_noise: float
    read_noise: float

    def crop(self, rows: slice, columns: slice) -> "Shot":
        """The exposure of a part of the picture."""
        return dataclasses.replace(self, light=self.light[rows, columns], noise=self.noise[rows, columns])

    def take(self, pixels: Array) -> npt.NDArray[np.uint8]:
        """The photograph, uint8 RGB (H, W, 3)."""
        seen = ndimage.gaussian_filter(pixels * self.light, (self.blur_px, self.blur_px, 0))
        deviation = np.sqrt(self.read_noise**2 + self.shot_noise**2 * np.clip(seen, 0, None))
        noisy = seen + deviation * self.noise
        return np.asarray(np.rint(np.clip(noisy, 0, 1) * 255), dtype=np.uint8)


def draw_session(style: np.random.Generator, rng: np.random.Generator, variation: float) -> Session | None:
    """One of a domain's sessions; None without variation, and then nothing is drawn."""
    if variation == 0:
        return None
    sessions = [
        Session(
            gain=np.exp(style.normal(0, 0.08 * variation) + style.normal(0, 0.02 * variation, 3)),
            tilt=style.normal(0, 0.06 * variation, 2),
            blur=float(np.exp(np.clip(style.normal(0, 0.2 * variation), -0.69, 0.69))),
        )
        for _ in range(_NUM_SESSIONS)
    ]
    return sessions[int(rng.integers(_NUM_SESSIONS))]


def draw_shot(
    rng: np.random.Generator, canvas: Canvas, photometric: float, session: Session | None = None
) -> Shot:
    """A random exposure; `photometric` scales how much light and colour change between images (usually 1)."""
    y, x = np.meshgrid(*(np.linspace(-0.5, 0.5, n, dtype=np.float32) for n in canvas.shape), indexing="ij")
    angle, tilt = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.05)
    gain = np.exp(rng.normal(0, 0.03 * photometric))
    balance = np.exp(rng.normal(0, 0.005 * photometric, 3))
    fall_off = rng.uniform(0, 0.08) * photometric
    field = gain * (
        1 + photometric * tilt * (np.cos(angle) * x + np.sin(angle) * y) - fall_off * (x * x + y * y)
    )
    blur = rng.uniform(0.3, 0.55) * canvas.px_per_unit
    if session is not None:
        field = field * (1 + 2 * (session.tilt[0] * y + session.tilt[1] * x))
        balance, blur = balance * session.gain, blur * session.blur
    return Shot(
        light=(field[..., None] * balance).astype(np.float32),
        blur_px=float(blur),
        noise=rng.standard_normal((*canvas.shape, 3), dtype=np.float32),
        shot_noise=float(rng.uniform(0.005, 0.02)),
        read_noise=float(rng.uniform(0.004, 0.010)),
    )
