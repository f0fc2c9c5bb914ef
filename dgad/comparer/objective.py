"""The comparer's training loss on one episode: Eq. 2, 3 and 4, summed over pyramid levels."""

# B query tiles, U queries, R references, P query patches, C channels, G pools of K reference patches, h x w
# cells of a level

import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from dgad.comparer.losses import attention_loss, classification_loss, ranking_loss
from dgad.comparer.model import Comparer, LevelStatistics, patches, reference_statistics, sample_patches
from dgad.comparer.settings import ComparerSettings
from dgad.training.episodes import max_of_bags


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LossParts:
    """Scalars, already summed over levels; `ranking` carries λ, `attention` not yet its weight."""

    classification: Tensor
    attention: Tensor
    ranking: Tensor


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EpisodeMaps:
    """Backbone maps of one episode's tiles per level, and which of their cells count."""

    queries: Sequence[Tensor]
    """(B, C, h, w)."""
    references: Sequence[Tensor]
    """(R, C, h, w)."""
    counted_queries: Sequence[Tensor] | None = None
    """Bool (B, h, w) per level; None: all."""
    counted_references: Sequence[Tensor] | None = None
    pooled_area_px: int | None = None
    """Pixels whose share of patches is pooled at most; None: all that count."""


def episode_loss(
    comparer: Comparer,
    maps: EpisodeMaps,
    label_U: Tensor,
    generator: torch.Generator,
    *,
    bag_sizes: Sequence[int] | None = None,
) -> LossParts:
    """The three losses of one episode.

    Each is a scalar >= 0. A loss whose weight is 0 is not computed. With `bag_sizes` a query is so many
    tiles after each other, of which Eq. 2 takes the largest logit and Eq. 3 the smallest co-attention; Eq. 4
    is of every tile.
    """
    settings = comparer.settings
    zero = maps.queries[0].new_zeros(())
    parts = {"classification": zero, "attention": zero, "ranking": zero}
    for level in _compare(comparer, maps, settings.num_query_patches, generator):
        pooled_U = max_of_bags(level.pooled_B, bag_sizes)
        parts["classification"] = parts["classification"] + classification_loss(pooled_U, label_U)
        if settings.attention_weight == 0 and settings.ranking_weight == 0:
            continue
        attended = [
            comparer.attention.attend(query_BPC, level.pool_KC, settings.attention_range)
            for query_BPC in level.queries
        ]
        if settings.attention_weight > 0:
            minimum_U = -max_of_bags(-torch.cat([minimum_B for _, minimum_B in attended]), bag_sizes)
            parts["attention"] = parts["attention"] + attention_loss(minimum_U, label_U)
        if settings.ranking_weight > 0:
            ranks = [
                ranking_loss(logit_BP.sigmoid(), attention_BP, settings.ranking_weight)
                for logit_BP, (attention_BP, _) in zip(level.logits, attended, strict=True)
            ]
            parts["ranking"] = parts["ranking"] + torch.stack(ranks).mean()
    return LossParts(**parts)


@torch.no_grad()
def rank_tiles(comparer: Comparer, maps: EpisodeMaps, generator: torch.Generator) -> Tensor:
    """Logits (B,) of tiles by the comparer as it is: the largest of all levels, as in scoring (Eq. 5)."""
    return torch.stack([level.pooled_B for level in _compare(comparer, maps, 0, generator)]).amax(0)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Level:
    """One level of an episode: patches and logits of its queries, in one group where all cells count.

    Else each tile is a group of its own, for each has another number of patches.
    """

    queries: list[Tensor]
    """(B, P, C)."""
    pool_KC: Tensor
    logits: list[Tensor]
    """(B, P)."""
    pooled_B: Tensor


def _compare(
    comparer: Comparer, maps: EpisodeMaps, num_patches: int, generator: torch.Generator
) -> Iterator[_Level]:
    """The levels of an episode; `num_patches` of each query are looked at, 0 for all."""
    settings = comparer.settings
    statistics = _statistics(comparer, maps)
    levels = zip(
        comparer.embed(maps.queries, statistics), comparer.embed(maps.references, statistics), strict=True
    )
    for i, (query_map, reference_map) in enumerate(levels):
        counted_Bhw = None if maps.counted_queries is None else maps.counted_queries[i]
        cells = _split_cells(query_map, counted_Bhw)
        queries = [_choose_patches(group_BPC, num_patches, generator) for group_BPC in cells]
        counted_Rhw = None if maps.counted_references is None else maps.counted_references[i]
        pool_GKC = _draw_pools(comparer, _split_cells(reference_map, counted_Rhw), generator)
        pool_GKD = comparer.head.project_reference(pool_GKC)
        logits = [comparer.patch_logits(query_BPC, pool_GKD) for query_BPC in queries]
        pooled = []
        for logit_BP, group_BPC in zip(logits, cells, strict=True):
            most = float(group_BPC.shape[1])
            if maps.pooled_area_px is not None:
                most = min(most, maps.pooled_area_px / settings.strides[i] ** 2)
            pooled.append(_pool(logit_BP, most * logit_BP.shape[1] / group_BPC.shape[1], settings))
        yield _Level(
            queries=queries, pool_KC=pool_GKC.flatten(0, 1), logits=logits, pooled_B=torch.cat(pooled)
        )


def _split_cells(map_Nchw: Tensor, counted_Nhw: Tensor | None) -> list[Tensor]:
    """Patches (N, P, C) of all tiles, or those that count (1, P, C) of each."""
    patch_NPC = patches(map_Nchw)
    if counted_Nhw is None:
        return [patch_NPC]
    return [p[c][None] for p, c in zip(patch_NPC, counted_Nhw.flatten(1), strict=True)]


def _choose_patches(query_BPC: Tensor, num_patches: int, generator: torch.Generator) -> Tensor:
    if not 0 < num_patches < query_BPC.shape[1]:
        return query_BPC
    chosen = torch.randperm(query_BPC.shape[1], generator=generator)[:num_patches]
    return query_BPC[:, chosen.to(query_BPC.device)]


def _draw_pools(comparer: Comparer, groups: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """N_R patches (G, K, C) of the references that count: one pool, or one per reference."""
    num_patches = comparer.settings.num_reference_patches
    if len(groups) == 1:
        return comparer.draw_pools(groups[0], num_patches, generator)
    if comparer.settings.reference_pooling == "patches":
        return sample_patches(torch.cat(list(groups), dim=1)[0], num_patches, generator)[None]
    per_image = max(1, min(num_patches // len(groups), min(group.shape[1] for group in groups)))
    return torch.stack([sample_patches(group[0], per_image, generator) for group in groups])


def _pool(logit_BP: Tensor, num_of: float, settings: ComparerSettings) -> Tensor:
    """One logit per tile, (B,): the maximum, or the mean of the top fraction of so many patches."""
    if settings.score_pooling == "max":
        return logit_BP.amax(1)
    num_top = max(1, round(settings.top_fraction * num_of))
    return logit_BP.topk(num_top, dim=1).values.mean(1)


def _statistics(comparer: Comparer, maps: EpisodeMaps) -> Sequence[LevelStatistics]:
    """Those of the references, from the cells that count."""
    if maps.counted_references is None or not comparer.settings.reference_norm:
        return comparer.statistics(maps.references)
    found = []
    for map_RChw, counted_Rhw in zip(maps.references, maps.counted_references, strict=True):
        cell_KC = map_RChw.movedim(1, -1)[counted_Rhw]
        found += [reference_statistics(cell_KC.t()[None, :, None])]
    return found
