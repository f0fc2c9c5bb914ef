"""Procedural defects: pure functions of a site, chance and strength, in one visible dict.

Tones are taken from the surface's own range or little beyond it, to either side, so that an image's
mean, spread or darkest pixel tells little: what gives a defect away is its shape and its place.
"""

# H, W pixels of the site down and across; lengths in units (dgad/domains/demo/noise.py)

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from dgad.domains.demo.noise import Array, Canvas, places, shift, smooth, step

_Points = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """The piece of a surface that a defect is drawn into."""

    pixels: Array
    """RGB (H, W, 3), about 0 to 1."""
    canvas: Canvas
    angle_rad: float
    """Direction of the surface's threads, bars or grain; 0 along x."""
    pitch: float
    """Width of the surface's smallest repeated part."""
    place: _Points | None = None
    """Where the defect sits, (v, u) from the site's corner; drawn by the defect unless given."""
    scale: float = 1.0
    """How large the defect is beside its usual size; its lines get thinner by the square root of that."""

    @property
    def thinness(self) -> float:
        """What widths of lines are multiplied by."""
        return math.sqrt(min(1.0, self.scale))


DefectFunction = Callable[[Site, np.random.Generator, float], Array]
"""(site, rng, strength in 0 to 1) -> changed pixels, RGB (H, W, 3)."""


def scratch(site: Site, rng: np.random.Generator, strength: float) -> Array:
    """A long, slightly bent line, fading at its ends."""
    path = _path(site, rng, length=rng.uniform(30, 85), bend=0.015, jitter=0.0)
    distance, along = _distance(site, [path])
    line = _line(site, distance, rng.uniform(1.0, 1.9) * site.thinness)
    line = line * np.sin(np.pi * np.clip(along, 0.05, 0.95))
    return _blend(site, line * (0.75 + 0.25 * strength), _own_colour(site, _dark_or_light(rng)))


def crack(site: Site, rng: np.random.Generator, strength: float) -> Array:
    """A jagged dark line with a branch or two."""
    trunk = _path(site, rng, length=rng.uniform(35, 90), bend=0.03, jitter=0.35)
    branches = []
    for _ in range(rng.integers(1, 3)):
        length, start = rng.uniform(10, 28), trunk[rng.integers(len(trunk))]
        branches.append(_path(site, rng, length=length, bend=0.03, jitter=0.4, start=start))
    distance, _ = _distance(site, [trunk, *branches])
    width = site.thinness * rng.uniform(0.7, 1.3) * (1 + 0.35 * np.clip(smooth(rng, site.canvas, 5), -2, 2))
    return _blend(site, _line(site, distance, width) * (0.7 + 0.3 * strength), _own_colour(site, 0.03))


def stain(site: Site, rng: np.random.Generator, strength: float) -> Array:
    """A see-through blot, a little stronger at its rim."""
    radius = rng.uniform(9, 18)
    inside = _blob(site, rng, radius, rough=0.35)
    soft = step(inside, 0.0, 0.12)
    rim = np.exp(-((inside / 0.07) ** 2))
    quantile = rng.uniform(0.02, 0.12) if rng.random() < 0.5 else rng.uniform(0.88, 0.98)
    return _blend(
        site, np.clip(soft * (0.4 + 0.35 * strength) + 0.2 * rim, 0, 1), _own_colour(site, quantile)
    )


def hole(site: Site, rng: np.random.Generator, strength: float) -> Array:
    """A pit or puncture with a lit edge."""
    inside = _blob(site, rng, rng.uniform(4.0, 9.0), rough=0.3)
    alpha = step(inside, 0.0, 0.25) * (0.75 + 0.25 * strength)
    fill = rng.uniform(0.03, 0.12) if rng.random() < 0.6 else rng.uniform(0.9, 0.97)  # or a chip
    pit = _blend(site, alpha, _own_colour(site, fill))
    soft = ndimage.gaussian_filter(alpha, 0.8 * site.canvas.px_per_unit)
    slope = np.gradient(soft, axis=int(rng.integers(2)))
    edge = np.clip(slope * rng.choice([-1, 1]) * 1.4, 0, 0.7)
    return _blend(site, edge, _own_colour(site, 0.93), onto=pit)


def foreign(site: Site, rng: np.random.Generator, strength: float) -> Array:
    """A fibre or a crumb lying on the site, with its shadow."""
    if rng.random() < 0.5:
        path = _path(site, rng, length=rng.uniform(25, 60), bend=0.09, jitter=0.0)
        distance, _ = _distance(site, [path])
        shape = _line(site, distance, rng.uniform(0.8, 1.5) * site.thinness)
    else:
        shape = step(_blob(site, rng, rng.uniform(3.0, 6.5), rough=0.45), 0.0, 0.2)
    offset = 1.4 * site.thinness * site.canvas.px_per_unit
    shadow = ndimage.gaussian_filter(ndimage.shift(shape, (offset, offset), order=1), offset * 0.6)
    tint = 1 + rng.normal(0, 0.15, 3)
    shaded = _blend(site, 0.45 * shadow, _own_colour(site, 0.04))
    body = _own_colour(site, _dark_or_light(rng)) * tint
    return _blend(site, shape * (0.75 + 0.25 * strength), body, onto=shaded)


def dent(site: Site, rng: np.random.Generator, strength: float) -> Array:
    """A shallow bump that only shades: lit on one side, dark on the other."""
    radius, angle = rng.uniform(6, 13) * site.scale, rng.uniform(0, 2 * np.pi)
    dv, du = _offsets(site, _place(site, rng))
    depth = np.exp(-(dv**2 + du**2) / (2 * (radius / 2) ** 2))
    slope = (np.cos(angle) * du + np.sin(angle) * dv) / (radius / 2) * depth
    factor = 1 + (0.5 + 0.4 * strength) * slope
    return np.asarray(site.pixels * factor[..., None], dtype=np.float32)


def fold(site: Site, rng: np.random.Generator, strength: float) -> Array:
    """A pressed crease: a dark valley between two light shoulders."""
    path = _path(site, rng, length=rng.uniform(45, 100), bend=0.02, jitter=0.0)
    distance, along = _distance(site, [path])
    width = rng.uniform(1.2, 2.2) * site.thinness
    valley = np.exp(-((distance / width) ** 2))
    shoulder = np.exp(-(((distance - 2.4 * width) / width) ** 2))
    fade = np.sin(np.pi * np.clip(along, 0.04, 0.96))
    factor = 1 + (0.5 + 0.5 * strength) * fade * (0.45 * shoulder - 0.7 * valley)
    return np.asarray(site.pixels * factor[..., None], dtype=np.float32)


def missing_thread(site: Site, rng: np.random.Generator, strength: float) -> Array:
    """A thread pulled out: a narrow band along the weave where the gap shows."""
    angle = site.angle_rad + (np.pi / 2 if rng.random() < 0.5 else 0.0)
    dv, du = _offsets(site, _place(site, rng))
    along = np.cos(angle) * du - np.sin(angle) * dv
    across = np.abs(np.sin(angle) * du + np.cos(angle) * dv)
    half_length = rng.uniform(16, 45) * site.scale
    half_width = 0.42 * site.pitch * min(1.0, 2 * site.thinness)
    band = step(-across, -half_width, 1.0) * step(-np.abs(along), -half_length, 2.5 * site.thinness)
    return _blend(
        site, band * (0.75 + 0.25 * strength), _own_colour(site, rng.uniform(0.06, 0.18), beyond=1.2)
    )


def broken(site: Site, rng: np.random.Generator, strength: float) -> Array:
    """A piece of the pattern is gone and what is behind shows."""
    inside = _blob(site, rng, site.pitch * rng.uniform(0.6, 0.6 + 0.5 * strength), rough=0.2)
    return _blend(
        site,
        step(inside, 0.0, 0.15),
        _own_colour(site, rng.uniform(0.1, 0.3), beyond=1.0, contrast=0.0),
    )


def bent(site: Site, rng: np.random.Generator, strength: float) -> Array:
    """The pattern pushed aside around one place."""
    radius, angle = site.scale * site.pitch * rng.uniform(0.45, 0.7), rng.uniform(0, 2 * np.pi)
    dv, du = _offsets(site, _place(site, rng))
    weight = np.exp(-(dv**2 + du**2) / (2 * radius**2))
    push = weight * site.scale * site.pitch * (0.4 + 0.35 * strength) * site.canvas.px_per_unit
    return shift(
        site.pixels, (push * np.sin(angle)).astype(np.float32), (push * np.cos(angle)).astype(np.float32)
    )


def misaligned(site: Site, rng: np.random.Generator, strength: float) -> Array:
    """A patch of the same surface turned aside and enlarged, which takes the light differently."""
    inside = _blob(site, rng, rng.uniform(10, 13 + 5 * strength), rough=0.25)
    angle = np.pi / 4 * (1 + rng.uniform(-0.3, 0.3))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / 1.4
    middle = (np.array(site.canvas.shape) - 1) / 2
    offset = middle - turn @ middle
    turned = np.stack(
        [
            ndimage.affine_transform(site.pixels[..., c], turn, offset, order=1, mode="mirror")
            for c in range(3)
        ],
        axis=-1,
    )
    gloss = 1 + (0.10 + 0.12 * strength) * rng.choice([-1, 1])
    alpha = step(inside, 0.0, 0.1)[..., None]
    return np.asarray(site.pixels * (1 - alpha) + turned * gloss * alpha, dtype=np.float32)


DEFECTS: Mapping[str, DefectFunction] = {
    "scratch": scratch,
    "crack": crack,
    "stain": stain,
    "hole": hole,
    "foreign": foreign,
    "dent": dent,
    "fold": fold,
    "missing_thread": missing_thread,
    "broken": broken,
    "bent": bent,
    "misaligned": misaligned,
}
"""Every kind of defect by name."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "woven": ("missing_thread", "hole", "stain", "foreign", "misaligned"),
    "grid": ("broken", "bent", "foreign", "stain", "scratch"),
    "leather": ("scratch", "fold", "stain", "hole", "foreign"),
    "tile": ("crack", "scratch", "stain", "hole", "foreign"),
    "wood": ("scratch", "crack", "stain", "hole", "foreign"),
    "brushed_metal": ("scratch", "dent", "stain", "foreign", "misaligned"),
    "marble": ("crack", "scratch", "stain", "hole", "foreign"),
    "concrete": ("crack", "stain", "hole", "foreign", "scratch"),
}
"""The kinds each surface shows."""


def _dark_or_light(rng: np.random.Generator) -> float:
    """A quantile near either end of the surface's tones."""
    return float(rng.uniform(0.01, 0.06) if rng.random() < 0.5 else rng.uniform(0.94, 0.99))


def _own_colour(
    site: Site, quantile: float, *, beyond: float = 1.6, contrast: float = 0.5
) -> npt.NDArray[np.float64]:
    """Colour of the surface's pixels around a quantile of brightness, RGB (3,).

    It is moved away from the mean: `beyond` times as far, and at least by `contrast` times the mean,
    so that a defect shows on a quiet surface too.
    """
    flat = site.pixels.reshape(-1, 3)
    order = np.argsort(flat.sum(axis=1))
    middle = int(quantile * (len(order) - 1))
    reach = max(1, len(order) // 100)
    colour = flat[order[max(0, middle - reach) : middle + reach]].mean(axis=0)
    mean = flat.mean(axis=0)
    distance = max(abs(float((colour - mean).mean())), 0.01)
    factor = max(beyond, contrast * float(mean.mean()) / distance)
    return np.asarray(np.clip(mean + factor * (colour - mean), 0.02, 1.05), dtype=np.float64)


def _blend(site: Site, alpha: Array, colour: npt.NDArray[np.float64], *, onto: Array | None = None) -> Array:
    base = site.pixels if onto is None else onto
    mix = np.asarray(alpha)[..., None]
    return np.asarray(base * (1 - mix) + colour * mix, dtype=np.float32)


def _place(site: Site, rng: np.random.Generator) -> _Points:
    """Where a defect sits, (v, u), away from the edges unless the site says where."""
    drawn = rng.uniform(20, 108, size=2)
    return drawn if site.place is None else site.place


def _offsets(site: Site, place: _Points) -> tuple[Array, Array]:
    v, u = places(site.canvas)
    return (v - place[0]).astype(np.float32), (u - place[1]).astype(np.float32)


def _blob(site: Site, rng: np.random.Generator, radius: float, *, rough: float) -> Array:
    """Positive inside an irregular spot, about 1 at its middle, 0 at its edge."""
    radius *= site.scale
    dv, du = _offsets(site, _place(site, rng))
    stretch, angle = rng.uniform(0.7, 1.4), rng.uniform(0, np.pi)
    along = (np.cos(angle) * du + np.sin(angle) * dv) * stretch
    across = (np.cos(angle) * dv - np.sin(angle) * du) / stretch
    wobble = rough * np.clip(smooth(rng, site.canvas, max(1.5, radius / 3)), -1.5, 1.5)
    distance = np.hypot(along, across) / radius
    return np.asarray(1 - distance + wobble * np.exp(-(((distance - 1) / 0.8) ** 2)), dtype=np.float32)


def _path(
    site: Site,
    rng: np.random.Generator,
    *,
    length: float,
    bend: float,
    jitter: float,
    start: _Points | None = None,
) -> _Points:
    """Points (v, u) half a unit apart along a wandering line, shape (n, 2)."""
    steps = max(8, int(2 * length * site.scale))
    turn = rng.normal(0, bend) + rng.normal(0, 2 * bend, steps)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(turn) / 2
    kinks = np.repeat(rng.normal(0, jitter, steps // 6 + 1), 6)[:steps]
    moves = 0.5 * np.stack([np.sin(heading + kinks), np.cos(heading + kinks)], axis=1)
    points = np.cumsum(moves, axis=0)
    origin = _place(site, rng) - points.mean(axis=0) if start is None else start
    return np.asarray(points + origin, dtype=np.float64)


def _distance(site: Site, paths: list[_Points]) -> tuple[Array, Array]:
    """Distance of every pixel to the paths, and how far along its path the nearest point is, 0 to 1."""
    v, u = _offsets(site, np.zeros(2))
    along = np.concatenate([np.linspace(0, 1, len(p)) for p in paths])
    tree = cKDTree(np.concatenate(paths))
    distance, nearest = tree.query(np.stack([v.ravel(), u.ravel()], axis=1))
    return distance.reshape(v.shape).astype(np.float32), along[nearest].reshape(v.shape).astype(np.float32)


def _line(site: Site, distance: Array, half_width: float | Array) -> Array:
    """Opacity of a line with edges one pixel soft, however large the image."""
    pixel = 1 / site.canvas.px_per_unit
    return np.asarray(np.clip((half_width - distance) / pixel + 0.5, 0, 1), dtype=np.float32)
