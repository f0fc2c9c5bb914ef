"""Normal images scored against references that they are not among."""

# N left-out images, P scored cells of a map

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.methods.base import Method, Scores

_HOT = 0.999
"""The part of a map's pixels that lies below what counts as its hottest place."""
_SMALLEST_RANGE = 1e-6
"""Between cold and hot, so that a flat map can be scaled."""
_MAX_MAP_IMAGES = 100
"""Whose pixels make the scale of heatmaps: their median and percentile settle with far fewer."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """What normal looks like to a method."""

    scores: tuple[float, ...]
    """Image scores, in the order they were computed."""
    map_low: float
    """Median pixel: cold. 0 where the method has no maps."""
    map_high: float
    """As far above the median again as the 99.9th percentile lies: hot. Normal stays in the lower half."""
    map_limit: float
    """Highest 99.9th-percentile pixel of an image; infinite where there is none."""


def score_left_out(method: Method, images: ImageSet, num_folds: int) -> LeftOut:
    """Score every image against those of the other folds, enrolled anew in every round.

    So whatever an enrolment takes from its references (normalisation, calibration of levels) never knows
    the image that is scored. At least 2 images and folds.
    """
    return summarise_left_out(_rounds(method, images, num_folds))


def _rounds(method: Method, images: ImageSet, num_folds: int) -> Iterator[Scores]:
    for fold in range(num_folds):
        out = [i for i in range(len(images)) if i % num_folds == fold]
        kept = [i for i in range(len(images)) if i % num_folds != fold]
        yield method.score(images.take(out), method.enroll(images.take(kept)))


def summarise_left_out(rounds: Iterator[Scores]) -> LeftOut:
    """Image scores, and the scale of the maps, of any number of left-out images."""
    scores: list[float] = []
    pixels: list[Tensor] = []
    limits: list[float] = []
    for answer in rounds:
        scores += answer.image.double().tolist()
        if answer.pixels is not None and len(answer.pixels):
            scored = [own[~own.isnan()] for own in answer.pixels]
            limits += [_percentile(own) for own in scored if len(own)]
            pixels += scored[: max(0, _MAX_MAP_IMAGES - len(pixels))]
    low, high = _measure_map_scale(torch.cat(pixels)) if pixels else (0.0, _SMALLEST_RANGE)
    return LeftOut(
        scores=tuple(scores), map_low=low, map_high=high, map_limit=max(limits, default=float("inf"))
    )


def _measure_map_scale(pixels: Tensor) -> tuple[float, float]:
    """(cold, hot) of the pixels of normal images: see `LeftOut`."""
    pixel = pixels.flatten().double()
    low = float(pixel.median())
    high = low + 2 * (_percentile(pixel) - low)
    return low, max(high, low + _SMALLEST_RANGE)


def _percentile(pixel_P: Tensor) -> float:
    """The `_HOT` part of the values lies at or below it."""
    rank = max(1, round(_HOT * len(pixel_P)))
    return float(pixel_P.double().kthvalue(rank).values)
