"""Tiny striped surfaces with an obvious defect: enough to tell whether a method works at all."""

import numpy as np
import torch
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.features.statistics import Statistics
from dgad.methods.base import Context
from dgad.methods.training_free import TrainingFree
from dgad.training.sources import SourceDomain

SIZE = 64


def context(weights: str = "none", backbone: str = "resnet18", image_size_px: int = SIZE) -> Context:
    features = FeatureSettings(backbone=backbone, weights=weights, scale=f"squash {image_size_px}")
    return Context(features=features, device=torch.device("cpu"), cache=FeatureCache())


def surface(count: int, period: int, *, defect: bool, seed: int, keys: bool = True) -> ImageSet:
    """Noisy stripes of the period; with `defect` a patch of crossing stripes of the same grey values."""
    rng = np.random.default_rng(seed)
    row = np.arange(SIZE)
    images = np.empty((count, 3, SIZE, SIZE), dtype=np.uint8)
    for n in range(count):
        phase = rng.uniform(0, period)
        grey = 128 + 60 * np.sin(2 * np.pi * (row[None, :] + phase) / period) * np.ones((SIZE, 1))
        if defect:
            y, x = rng.integers(8, SIZE - 24, 2)
            grey[y : y + 16, x : x + 16] = grey.T[y : y + 16, x : x + 16]
        noisy = grey + rng.normal(0, 4, (SIZE, SIZE))
        images[n] = np.clip(noisy, 0, 255).astype(np.uint8)[None]
    names = tuple(f"{period}-{defect}-{seed}-{n}" for n in range(count)) if keys else ()
    return ImageSet(images=torch.from_numpy(images), keys=names)


def source(name: str, period: int, seed: int = 0) -> SourceDomain:
    good = surface(8, period, defect=False, seed=seed)
    bad = surface(6, period, defect=True, seed=seed + 1)
    return SourceDomain(
        name=name,
        images=ImageSet(images=[*good.images, *bad.images], keys=(*good.keys, *bad.keys)),
        labels=torch.tensor([0] * 8 + [1] * 6),
        photographs=(*good.keys, *bad.keys),
    )


def joined(method: TrainingFree, images: ImageSet, statistics: Statistics | None = None) -> Tensor:
    """The joined maps (N, C, h, w) of images of one size."""
    return torch.cat([map_BChw for _, map_BChw in method.joined_blocks(images, statistics)])
