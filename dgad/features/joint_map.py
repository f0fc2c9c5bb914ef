"""Several levels of a pyramid as one map of locally averaged patches."""

# N images, C_i channels of level i, h_i w_i its size, h w the first level's

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def joint_map(levels: Sequence[Tensor], neighbourhood: int, *, zero_border: bool = False) -> Tensor:
    """Every level averaged over `neighbourhood` cells square, brought to the first's grid and joined.

    Levels (N, C_i, h_i, w_i) give (N, sum of C_i, h, w). At the border the mean is over the cells there
    are, or with `zero_border` over zeros too, as PatchCore's implementations have it.
    """
    size = neighbourhood
    averaged = [
        F.avg_pool2d(level, size, stride=1, padding=size // 2, count_include_pad=zero_border)
        for level in levels
    ]
    grid = averaged[0].shape[-2:]
    coarser = [F.interpolate(level, size=grid, mode="bilinear") for level in averaged[1:]]
    return torch.cat([averaged[0], *coarser], dim=1)
