"""What normal looks like to a method: scores of references against the other references."""

# R references, S pixels a side

import dataclasses

import torch

from dgad.domains.image_set import ImageSet
from dgad.methods.base import Method

MAX_FOLDS = 5


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NormalRange:
    """The range of left-out references; descriptive, not a threshold with a guarantee."""

    image_high: float
    """Highest image score of a left-out reference."""
    map_low: float
    """Median pixel of the left-out references: cold."""
    map_high: float
    """As far above the median again as their 99.9th percentile lies: hot. Normal stays in the lower half."""


def normal_range(method: Method, references: ImageSet) -> NormalRange | None:
    """Score each reference against those of the other folds; None with one reference, which has no others."""
    count = len(references)
    if count < 2:
        return None
    num_folds = min(count, MAX_FOLDS)
    images, pixels = [], []
    for fold in range(num_folds):
        out = [i for i in range(count) if i % num_folds == fold]
        kept = [i for i in range(count) if i % num_folds != fold]
        scores = method.score(references.take(out), method.enroll(references.take(kept)))
        images.append(scores.image)
        if scores.pixels is not None:
            pixels.append(scores.pixels.flatten())
    low = high = 0.0
    if pixels:
        pixel = torch.cat(pixels).double()
        low = float(pixel.median())
        rank = max(1, round(0.999 * pixel.numel()))
        high = low + 2 * (float(pixel.kthvalue(rank).values) - low)
    return NormalRange(image_high=float(torch.cat(images).max()), map_low=low, map_high=max(high, low + 1e-6))
