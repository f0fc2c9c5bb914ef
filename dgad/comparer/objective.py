"""The comparer's training loss on one episode: Eq. 2, 3 and 4, summed over pyramid levels."""

# B queries, R references, P query patches, C channels, G pools of K reference patches

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from dgad.comparer.losses import attention_loss, classification_loss, ranking_loss
from dgad.comparer.model import Comparer, patches, pool_patches


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LossParts:
    """Scalars, already summed over levels; `ranking` carries λ, `attention` not yet its weight."""

    classification: Tensor
    attention: Tensor
    ranking: Tensor


def episode_loss(
    comparer: Comparer,
    query_maps: Sequence[Tensor],
    reference_maps: Sequence[Tensor],
    label_B: Tensor,
    generator: torch.Generator,
) -> LossParts:
    """The three losses of one episode, from backbone maps of its queries and its references.

    Each is a scalar >= 0. A loss whose weight is 0 is not computed.
    """
    settings = comparer.settings
    statistics = comparer.statistics(reference_maps)
    zero = query_maps[0].new_zeros(())
    parts = {"classification": zero, "attention": zero, "ranking": zero}
    levels = zip(
        comparer.embed(query_maps, statistics), comparer.embed(reference_maps, statistics), strict=True
    )
    for query_map, reference_map in levels:
        query_BPC, reference_RPC = patches(query_map), patches(reference_map)
        num_patches = query_BPC.shape[1]
        if 0 < settings.num_query_patches < num_patches:
            chosen = torch.randperm(num_patches, generator=generator)[: settings.num_query_patches]
            query_BPC = query_BPC[:, chosen.to(query_BPC.device)]
        pool_GKC = comparer.draw_pools(reference_RPC, settings.num_reference_patches, generator)
        logit_BP = comparer.patch_logits(query_BPC, comparer.head.project_reference(pool_GKC))
        pooled_B = pool_patches(logit_BP, settings)
        parts["classification"] = parts["classification"] + classification_loss(pooled_B, label_B)
        if settings.attention_weight == 0 and settings.ranking_weight == 0:
            continue
        attention_BP, minimum_B = comparer.attention.attend(
            query_BPC, pool_GKC.flatten(0, 1), settings.attention_range
        )
        if settings.attention_weight > 0:
            parts["attention"] = parts["attention"] + attention_loss(minimum_B, label_B)
        if settings.ranking_weight > 0:
            rank = ranking_loss(logit_BP.sigmoid(), attention_BP, settings.ranking_weight)
            parts["ranking"] = parts["ranking"] + rank
    return LossParts(**parts)
