"""What is usual around each reference patch: the correction that lets plain and busy parts share a scale.

A surface seldom varies alike everywhere: patches on a seam lie farther from each other than patches of the
ground. Each reference patch is therefore compared with the other reference images, and a query that it
decides is judged against that.
"""

# K reference patches of one pool, C channels

import torch
from torch import Tensor

from dgad.comparer.heads import PairHead
from dgad.comparer.pairwise import Aggregation, pair_scores_decided

SHARE = 0.5
"""Of a patch's own deviation that is taken off: what one patch says is itself uncertain."""


@torch.no_grad()
def usual_offsets(
    reference_KC: Tensor, owner_K: Tensor, head: PairHead, *, aggregation: Aggregation, compiled: bool = False
) -> Tensor:
    """What to take off a logit that each reference patch decides, shape (K,), in logits, mean about 0.

    A patch's usual logit is the one it gets from the patches of the other images (`owner_K` says whose each
    is), averaged with that of the patch which decides it. Zeros where there is no other image.
    """
    usual_K = reference_KC.new_full((len(reference_KC),), torch.nan)
    decided_by_K = torch.arange(len(reference_KC), device=reference_KC.device)
    for image in sorted(set(owner_K.tolist())):
        own = (owner_K == image).nonzero()[:, 0]
        others = (owner_K != image).nonzero()[:, 0]
        if len(others) == 0:
            continue
        usual_K[own], chosen = pair_scores_decided(
            head.project_query(reference_KC[own]),
            head.project_reference(reference_KC[others]),
            head,
            aggregation=aggregation,
            compiled=compiled,
        )
        decided_by_K[own] = others[chosen]
    known = usual_K.isfinite()
    if not known.any():
        return torch.zeros_like(usual_K)
    usual_K = torch.where(known, usual_K, usual_K[known].mean())
    around_K = (usual_K + usual_K[decided_by_K]) / 2
    return SHARE * (around_K - around_K.mean())
