"""The pretraining objective: in each episode, defect patches must lie farther from the references.

One episode is one procedural domain. Every query patch of a pyramid level gets its distance to the
nearest reference patch; the distances are standardised by those of the episode's normal patches, so
that no surface's roughness counts as an error, and compared with the exact masks.
"""

# B queries, R references, C channels, h w the size of a level, P = h w patches, S pixels a side

import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dgad.comparer.model import patches, reference_statistics
from dgad.features.memory.nearest import nearest_patches

COVERED = 0.3
"""A patch is a defect's where the mask covers this share of it; where it covers less, it is left out."""
_BOUNDARY = 3.0
"""Where a defect begins: deviations above the mean distance of normal patches."""
_TOP_FRACTION = 0.02
"""Of an image's patches, whose mean stands for the image."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EpisodeLoss:
    """The parts of one episode's loss, scalars of at least 0."""

    patch: Tensor
    """Balanced cross-entropy of patches with the mask."""
    image: Tensor
    """How often, softly, a normal image outranks an abnormal one of its domain."""


def _nearest_distances(query_map: Tensor, reference_map: Tensor) -> Tensor:
    """L2 distance (RMS over channels) of each query patch to the nearest reference patch, (B, h, w).

    Maps are (B, C, h, w) and (R, C, h, w), normalised by the references. Differentiable: the nearest
    patch is found without gradients, and that pair alone is computed again with them.
    """
    query_QC = patches(query_map).flatten(0, 1)
    reference_KC = patches(reference_map).flatten(0, 1)
    _, nearest_Q = nearest_patches(query_QC, reference_KC)
    offset = query_QC - reference_KC.index_select(0, nearest_Q)
    distance = (offset.square().mean(1) + 1e-8).sqrt()
    return distance.view(query_map.shape[0], *query_map.shape[-2:])


def _episode_distances(
    maps: Sequence[Tensor], num_queries: int, *, num_joined: int
) -> tuple[list[Tensor], Tensor]:
    """Distances (B, h_i, w_i) per level, and of the finest `num_joined` levels joined on the finest grid.

    `maps` hold the queries first and then the references; each is normalised by its references' mean and
    one scalar deviation. In the joint map every level weighs alike, whatever its channels.
    """
    normalised = [reference_statistics(m[num_queries:]).apply(m) for m in maps]
    levels = [_nearest_distances(m[:num_queries], m[num_queries:]) for m in normalised]
    height, width = normalised[0].shape[-2:]
    joined = torch.cat(
        [
            F.interpolate(m, size=(height, width), mode="bilinear") * m.shape[1] ** -0.5
            for m in normalised[:num_joined]
        ],
        dim=1,
    )
    joined = joined * (joined.shape[1] / num_joined) ** 0.5
    return levels, _nearest_distances(joined[:num_queries], joined[num_queries:])


def covered_share(mask_BSS: Tensor, like_Bhw: Tensor) -> Tensor:
    """Share of each patch's area that the mask covers, in the shape of `like_Bhw`."""
    height, width = like_Bhw.shape[-2:]
    return F.adaptive_avg_pool2d(mask_BSS[:, None].float(), (height, width))[:, 0]


def level_loss(distance_Bhw: Tensor, mask_BSS: Tensor, label_B: Tensor) -> EpisodeLoss:
    """Both losses of one level."""
    share = covered_share(mask_BSS, distance_Bhw)
    near = F.max_pool2d(share[:, None], 3, stride=1, padding=1)[:, 0]
    defect, normal = share >= COVERED, near == 0
    if not defect.any():
        # A defect smaller than a patch: the patch that it covers most stands for it.
        defect = (share == share.amax((1, 2), keepdim=True)) & (share > 0)
    of_normal = distance_Bhw[normal]
    mean, std = of_normal.mean(), of_normal.std().clamp_min(1e-4)
    z = (distance_Bhw - mean) / std - _BOUNDARY
    patch = F.softplus(-z[defect]).mean() + F.softplus(2 * z[normal]).mean() if defect.any() else z.sum() * 0
    top = max(1, round(_TOP_FRACTION * z[0].numel()))
    image_B = z.flatten(1).topk(top, dim=1).values.mean(1)
    gap = image_B[label_B == 0][:, None] - image_B[label_B == 1][None]
    return EpisodeLoss(patch=patch, image=F.softplus(gap).mean())


def episode_loss(
    maps: Sequence[Tensor],
    mask_BSS: Tensor,
    label_B: Tensor,
    *,
    num_joined: int,
    coarse_weight: float,
) -> EpisodeLoss:
    """Weighted means over the levels and the joint map; the queries are the first images of `maps`.

    The finest `num_joined` levels and their joint map weigh 1, coarser levels `coarse_weight`.
    """
    levels, joint = _episode_distances(maps, len(label_B), num_joined=num_joined)
    losses = [level_loss(d, mask_BSS, label_B) for d in (*levels, joint)]
    weights = [1.0 if i < num_joined else coarse_weight for i in range(len(levels))] + [1.0]
    total = sum(weights)
    return EpisodeLoss(
        patch=torch.stack([w * x.patch for w, x in zip(weights, losses, strict=True)]).sum() / total,
        image=torch.stack([w * x.image for w, x in zip(weights, losses, strict=True)]).sum() / total,
    )
