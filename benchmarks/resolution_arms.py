"""Photographs of a domain scored by methods at scales: what `resolution.py` makes its tables of."""

# H, W rows and columns of a photograph's score map at its own scale

import argparse
import dataclasses
import math
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F

from dgad.device import resolve_device
from dgad.domains.base import Domain, Sample
from dgad.domains.geometry import Geometry, map_size, map_stride
from dgad.domains.images import load_images, load_masks
from dgad.evaluation.metrics import aupro
from dgad.evaluation.scoring import draw_references
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS, parse_method
from dgad.methods.base import Context
from dgad.seeds import seed_for

Map = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Photographs:
    """The test photographs of one domain and what is known of them, at their own scale."""

    domain: Domain
    samples: tuple[Sample, ...]
    sizes: tuple[tuple[int, int], ...]
    """Rows and columns of every photograph."""
    masks: tuple[npt.NDArray[np.bool_] | None, ...]
    """(H, W) each."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """0 normal, 1 abnormal."""
        return np.array([s.label for s in self.samples])

    @property
    def defect_px(self) -> npt.NDArray[np.float64]:
        """Longer side of the box around each photograph's defects in its own pixels; NaN without a mask."""
        found = []
        for mask, size in zip(self.masks, self.sizes, strict=True):
            places = np.argwhere(mask) if mask is not None and mask.any() else None
            longest = math.nan if places is None else (np.ptp(places, axis=0) + 1).max()
            found.append(float(longest) * map_stride(*size))
        return np.array(found)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """A method at a scale."""

    method: str
    scale: str

    def __str__(self) -> str:
        return f"{self.method} {self.scale}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What an arm answered on one domain with one draw of references."""

    scores: npt.NDArray[np.float32]
    maps: tuple[Map, ...] | None
    """(H, W) each."""
    seconds: float


def drawn(samples: Sequence[Sample], count: int | None, seed: int) -> list[Sample]:
    """So many of them, in their own order; all where there are no more."""
    if count is None or count >= len(samples):
        return list(samples)
    chosen = np.random.default_rng(seed_for(seed, "resolution")).permutation(len(samples))[:count]
    return [samples[i] for i in sorted(chosen)]


def photographs_of(domain: Domain, options: argparse.Namespace) -> Photographs:
    """The domain's tests, cut to the numbers asked for."""
    good = drawn([s for s in domain.tests if not s.label], options.num_good, 0)
    defective = drawn([s for s in domain.tests if s.label], options.num_defective, 0)
    samples = (*good, *defective)
    native = Geometry(scale="native")
    sizes = tuple(size for s in samples for size in load_images([s], native).sizes)
    masks = load_masks(samples, sizes)
    return Photographs(domain=domain, samples=samples, sizes=sizes, masks=tuple(masks))


def scored(photographs: Photographs, arm: Arm, seed: int, options: argparse.Namespace) -> Outcome:
    """Enrol and score, one photograph at a time."""
    features = FeatureSettings(backbone=options.backbone, weights=options.weights, scale=arm.scale)
    name = arm.method.partition(":")[0]
    settings = options.variants.get(arm.method) or parse_method(arm.method)[2]
    context = Context(features=features, device=resolve_device(options.device), cache=FeatureCache(0))
    method = METHODS[name](settings, context)
    method.fit((), seed=seed)
    normals = photographs.domain.train_normals
    count = min(options.num_references, len(normals))
    chosen = draw_references(photographs.domain.name, len(normals), count, seed)
    enrolled = method.enroll(load_images([normals[i] for i in chosen], features.geometry))
    scores, maps = [], []
    began = time.perf_counter()
    for sample, (height, width) in zip(photographs.samples, photographs.sizes, strict=True):
        answer = method.score(load_images([sample], features.geometry), enrolled)
        scores.append(float(answer.image[0]))
        if answer.pixels is not None:
            found = answer.pixels[0][None, None].float()
            grid = map_size(height, width)
            maps.append(F.interpolate(found, size=grid, mode="bilinear")[0, 0].numpy())
    return Outcome(
        scores=np.array(scores, dtype=np.float32),
        maps=tuple(maps) if maps else None,
        seconds=time.perf_counter() - began,
    )


def shares(photographs: Photographs, outcome: Outcome) -> npt.NDArray[np.float64]:
    """Of every abnormal photograph, the share of normal ones that score below it; ties count half."""
    normal = outcome.scores[photographs.labels == 0]
    abnormal = outcome.scores[photographs.labels == 1][:, None]
    below: npt.NDArray[np.float64] = (abnormal > normal).mean(1) + 0.5 * (abnormal == normal).mean(1)
    return below


def aupro_of(photographs: Photographs, outcome: Outcome, chosen: npt.NDArray[np.bool_]) -> float | None:
    """Over the chosen photographs and all normal ones; None where masks or maps are missing."""
    if outcome.maps is None:
        return None
    masks, maps = [], []
    for index in np.flatnonzero(chosen | (photographs.labels == 0)):
        mask, heat = photographs.masks[index], outcome.maps[index]
        if mask is None and photographs.labels[index]:
            return None
        masks.append(np.zeros(heat.shape, dtype=bool) if mask is None else mask)
        maps.append(heat)
    return aupro(masks, maps)


def mean(values: Sequence[float | None]) -> float | None:
    """Of those there are."""
    known = [v for v in values if v is not None and not math.isnan(v)]
    return float(np.mean(known)) if known else None
