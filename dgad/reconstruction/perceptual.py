"""How far two images are apart as a backbone sees them."""

# N images, S pixels a side, C channels, h w the grid of a map

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def perceptual_maps(
    maps: Sequence[Tensor], other_maps: Sequence[Tensor], size_px: int, *, epsilon: float = 1e-6
) -> Tensor:
    """Perceptual distance of every pixel, (N, S, S) in 0 to 1, from maps (N, C_i, h_i, w_i) of both images.

    Per level half of 1 - cos between the feature vectors at a location (so their length does not matter),
    brought to the image's size; the mean over levels.
    """
    levels = []
    for features, others in zip(maps, other_maps, strict=True):
        unit, other_unit = (F.normalize(m, dim=1, eps=epsilon) for m in (features, others))
        # |u - v|^2 = 2 - 2 cos, without the rounding of 1 - cos where both are equal.
        distance_N1hw = (unit - other_unit).square().sum(1, keepdim=True) / 4
        levels.append(F.interpolate(distance_N1hw, size=(size_px, size_px), mode="bilinear")[:, 0])
    return torch.stack(levels).mean(0)
