"""The loss of one procedural surface: patches against its exact masks, and images against each other."""

# B queries, h w cells of the finest level

import torch
import torch.nn.functional as F
from torch import Tensor

_COVERED = 0.3
"""A patch is a defect's where the mask covers this share of it; where it covers less, it is left out."""
_BOUNDARY = 3.0
"""Where a defect begins, in deviations of left-out references."""
_NORMAL_SLOPE = 2.0
"""Normal patches are many and most of them easy: those that are not count for more."""


def surface_loss(
    logit_Bhw: Tensor, covered_Bhw: Tensor, label_B: Tensor, *, top_fraction: float, image_weight: float
) -> Tensor:
    """Balanced cross-entropy of patches, and how often, softly, a normal image outranks an abnormal one.

    `covered_Bhw` is the share of each patch's area that is marked.
    """
    near_Bhw = F.max_pool2d(covered_Bhw[:, None], 3, stride=1, padding=1)[:, 0]
    is_defect, is_normal = covered_Bhw >= _COVERED, near_Bhw == 0
    if not is_defect.any():
        # A defect smaller than a patch: the patch that it covers most stands for it.
        is_defect = (covered_Bhw == covered_Bhw.amax((1, 2), keepdim=True)) & (covered_Bhw > 0)
    shifted = logit_Bhw - _BOUNDARY
    terms = []
    if is_defect.any():
        terms.append(F.softplus(-shifted[is_defect]).mean())
    if is_normal.any():
        terms.append(F.softplus(_NORMAL_SLOPE * shifted[is_normal]).mean())
    num_top = max(1, round(top_fraction * logit_Bhw[0].numel()))
    image_B = logit_Bhw.flatten(1).topk(num_top, dim=1).values.mean(1)
    gap = image_B[label_B == 0][:, None] - image_B[label_B == 1]
    return torch.stack(terms).sum() + image_weight * F.softplus(gap).mean()
