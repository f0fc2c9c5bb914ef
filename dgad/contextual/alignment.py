"""Soft alignment: the weighted mean of a patch's nearest reference patches, and what differs from it."""

# Q patches, K reference patches, C channels, A neighbours

import dataclasses

import torch
from torch import Tensor

_ROWS = 1024
"""Patches that are aligned at once."""
_SHARPNESS = 2.0
"""Of the weights: a reference patch at sqrt(2) times the nearest one's distance weighs exp(-2) of it."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Alignment:
    """Patches aligned to their nearest reference patches."""

    residual_QC: Tensor
    """The patch minus the weighted mean of its neighbours."""
    distance_QA: Tensor
    """L2 distances to the neighbours, ascending; infinite where there are fewer."""
    spread_Q: Tensor
    """Root of the weighted mean square distance of the neighbours from their mean."""
    nearest_Q: Tensor
    """Index of the nearest one."""


@torch.no_grad()
def align(
    patch_QC: Tensor,
    reference_KC: Tensor,
    *,
    num_neighbours: int,
    owners: tuple[Tensor, Tensor] | None = None,
) -> Alignment:
    """Align patches to reference patches; neighbour a weighs exp(-2 d_a^2 / d_1^2), in sum 1.

    `owners` says whose each patch and each reference patch is, when patches are themselves of references:
    those of the own image are then no neighbours. Of a single image only the patch itself is none.
    """
    parts = []
    for top in range(0, len(patch_QC), _ROWS):
        rows = slice(top, top + _ROWS)
        own = None if owners is None else (owners[0][rows], owners[1])
        parts.append(_align_rows(patch_QC[rows], reference_KC, num_neighbours, own))
    return Alignment(
        residual_QC=torch.cat([p.residual_QC for p in parts]),
        distance_QA=torch.cat([p.distance_QA for p in parts]),
        spread_Q=torch.cat([p.spread_Q for p in parts]),
        nearest_Q=torch.cat([p.nearest_Q for p in parts]),
    )


def _align_rows(
    patch_QC: Tensor, reference_KC: Tensor, num_neighbours: int, owners: tuple[Tensor, Tensor] | None
) -> Alignment:
    # |r|^2 - 2 q r orders references as the distance does; around their mean less cancels.
    middle_C = reference_KC.mean(0)
    centred_KC = reference_KC - middle_C
    order_QK = torch.addmm(centred_KC.square().sum(1), patch_QC - middle_C, centred_KC.t(), alpha=-2)
    if owners is not None:
        is_own_QK = owners[0][:, None] == owners[1]
        if bool(is_own_QK.all()):
            is_own_QK = torch.zeros_like(is_own_QK).scatter_(1, order_QK.argmin(1, keepdim=True), True)
        order_QK = order_QK.masked_fill(is_own_QK, torch.inf)
    found = order_QK.topk(min(num_neighbours, len(reference_KC)), dim=1, largest=False)
    neighbour_QAC = reference_KC[found.indices]
    distance_QA = torch.linalg.vector_norm(patch_QC[:, None] - neighbour_QAC, dim=2)
    distance_QA = distance_QA.masked_fill(found.values == torch.inf, torch.inf)
    nearest_Q1 = distance_QA[:, :1].clamp_max(1e9)
    weight_QA1 = torch.softmax(-_SHARPNESS * (distance_QA / (nearest_Q1 + 1e-4)).square(), dim=1)[..., None]
    # A patch that has no neighbour at all gets weights that are not numbers; it has an infinite distance.
    aligned_QC = (weight_QA1 * neighbour_QAC).sum(1)
    away_QA = (neighbour_QAC - aligned_QC[:, None]).square().sum(2)
    return Alignment(
        residual_QC=patch_QC - aligned_QC,
        distance_QA=distance_QA,
        spread_Q=(weight_QA1[..., 0] * away_QA).sum(1).sqrt(),
        nearest_Q=found.indices[:, 0],
    )
