"""The references as the comparer keeps them: statistics of the backbone's levels and patches of its own.

Both are made block by block, so that no more than some blocks of any reference are in memory.
"""

# R references, P patches, C channels, G pools of K patches

import dataclasses
from collections.abc import Container, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from dgad.comparer.model import Comparer, LevelStatistics
from dgad.features.frozen import Blocks, crop_to_core
from dgad.features.grids import Cells
from dgad.features.memory.coverage import CoverageMemory
from dgad.features.moments import Moments


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReferencePools:
    """What queries are compared with."""

    statistics: tuple[LevelStatistics, ...]
    """Of every level of the backbone."""
    pools: tuple[tuple[Tensor, Tensor], ...]
    """Of every compared level, the patches (G, K, C), not yet projected, and whose each is."""


def pool_references(
    comparer: Comparer, passes: Iterable[Blocks], cells: Cells, images: Sequence[int]
) -> ReferencePools:
    """Statistics and pools of those of the references whose indices are given."""
    statistics = measure_statistics(comparer, choose(passes, images), cells)
    settings = comparer.settings
    is_common = settings.reference_pooling == "patches"
    most = settings.max_memory_patches if is_common else max(1, settings.max_memory_patches // len(images))
    num_pools = 1 if is_common else len(images)
    place = {index: 0 if is_common else i for i, index in enumerate(images)}
    memories: list[list[CoverageMemory]] = []
    for blocks in choose(passes, images):
        for i, patch_rows in enumerate(embed_patches(comparer, blocks, statistics, cells)):
            if len(memories) == i:
                memories.append([CoverageMemory(most) for _ in range(num_pools)])
            for index, patch_PC in zip(blocks.images, patch_rows, strict=True):
                memories[i][place[index]].add(patch_PC, index)
    return ReferencePools(statistics=statistics, pools=tuple(_stack(level) for level in memories))


def measure_statistics(
    comparer: Comparer, passes: Iterable[Blocks], cells: Cells
) -> tuple[LevelStatistics, ...]:
    """Per-channel mean and one scalar deviation of every level; without `reference_norm` the identity."""
    moments: list[Moments] = []
    for blocks in passes:
        moments = moments or [Moments() for _ in blocks.levels]
        for level, moment in zip(blocks.levels, moments, strict=True):
            if not comparer.settings.reference_norm:
                moment.add(level.new_zeros(1, level.shape[1]))
                continue
            for patch_PC in cells.patches(blocks, crop_to_core(blocks, level)):
                moment.add(patch_PC)
    if not comparer.settings.reference_norm:
        return tuple(
            LevelStatistics(mean_C=m.mean.float(), std=torch.ones_like(m.mean[0]).float()) for m in moments
        )
    return tuple(
        LevelStatistics(mean_C=m.mean.float(), std=m.variance.mean().sqrt().clamp_min(1e-6).float())
        for m in moments
    )


def embed_patches(
    comparer: Comparer, blocks: Blocks, statistics: Sequence[LevelStatistics], cells: Cells
) -> list[list[Tensor]]:
    """Per compared level the patches (P, C) of every block that count."""
    levels = comparer.embed(blocks.levels, statistics)
    return [cells.patches(blocks, crop_to_core(blocks, level)) for level in levels]


def choose(passes: Iterable[Blocks], images: Container[int]) -> Iterator[Blocks]:
    """The blocks of some of the images alone."""
    for blocks in passes:
        rows = [row for row, index in enumerate(blocks.images) if index in images]
        if len(rows) == len(blocks):
            yield blocks
        elif rows:
            yield Blocks(
                images=tuple(blocks.images[row] for row in rows),
                places=tuple(blocks.places[row] for row in rows),
                sizes=tuple(blocks.sizes[row] for row in rows),
                levels=[level[rows] for level in blocks.levels],
            )


def _stack(memories: Sequence[CoverageMemory]) -> tuple[Tensor, Tensor]:
    """Pools (G, K, C) and owners (G x K,); a smaller pool is filled up with its own patches again."""
    kept = [memory.result() for memory in memories]
    size = max(len(patch_KC) for patch_KC, _ in kept)
    rows = [torch.arange(size, device=patch_KC.device) % len(patch_KC) for patch_KC, _ in kept]
    return (
        torch.stack([patch_KC[row] for (patch_KC, _), row in zip(kept, rows, strict=True)]),
        torch.cat([owner_K[row] for (_, owner_K), row in zip(kept, rows, strict=True)]),
    )
