"""What is kept of the references: patches to align to, and how far left-out references lie from them."""

# K patches kept, P patches of a block, C channels, L levels, C_i channels of level i

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from dgad.contextual.alignment import align
from dgad.contextual.settings import ContextualSettings
from dgad.features.frozen import Blocks, crop_to_core
from dgad.features.grids import Cells
from dgad.features.joint_map import joint_map
from dgad.features.memory.coverage import CoverageMemory
from dgad.features.memory.nearest import usual_distances
from dgad.features.moments import Moments

_MIN_SHARE = 0.1
"""No deviation is taken for smaller than this share of its mean: a dead channel must not dominate."""
_NUM_JOINED = 2
"""Levels whose joint map the plain nearest neighbour compares, as `patch_knn` does."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MapMemory:
    """The references' patches of one map, and what is usual of references that are left out."""

    mean_C: Tensor
    scale_C: Tensor
    """One number for all channels of a level."""
    memory_KC: Tensor
    """Normalised patches: (patch - mean) / scale."""
    usual_K: Tensor
    """What distance is usual around each patch, about 1."""
    residual_C: Tensor
    """Root mean square of every channel's residual of left-out references."""
    location: Tensor
    """Mean distance of left-out references to their nearest patch."""
    deviation: Tensor
    length: Tensor
    """Mean length of their residuals."""
    spread: Tensor
    """Mean spread of their neighbours."""

    def normalise(self, map_BChw: Tensor) -> Tensor:
        """Patches (Q, C) of a map, as they are compared."""
        patch_QC: Tensor = map_BChw.movedim(1, -1).flatten(0, 2)
        normal_QC: Tensor = (patch_QC - self.mean_C) / self.scale_C
        return normal_QC


def joined_and_levels(levels: Sequence[Tensor]) -> list[Tensor]:
    """The maps that are compared: the finest levels joined, then every level."""
    return [joint_map(levels[:_NUM_JOINED], 1), *levels]


def remember(
    passes: Iterable[Blocks], cells: Cells, settings: ContextualSettings, channels: Sequence[int]
) -> tuple[MapMemory, ...]:
    """The memories of the joint map and of every level, from three passes over the references."""
    groups = [list(channels[:_NUM_JOINED]), *([count] for count in channels)]
    moments = [Moments() for _ in groups]
    for _, patch_lists in _patches(passes, cells):
        for moment, patches in zip(moments, patch_lists, strict=True):
            for patch_PC in patches:
                moment.add(patch_PC)
    normal = [(m.mean.float(), _scales(m.variance, group)) for m, group in zip(moments, groups, strict=True)]
    memories = [CoverageMemory(settings.max_memory_patches) for _ in groups]
    for owners, patch_lists in _patches(passes, cells):
        for memory, patches, (mean_C, scale_C) in zip(memories, patch_lists, normal, strict=True):
            for owner, patch_PC in zip(owners, patches, strict=True):
                memory.add((patch_PC - mean_C) / scale_C, owner)
    kept = [memory.result() for memory in memories]
    left_out = [_LeftOut() for _ in groups]
    for owners, patch_lists in _patches(passes, cells):
        for found, patches, (mean_C, scale_C), pool in zip(left_out, patch_lists, normal, kept, strict=True):
            for owner, patch_PC in zip(owners, patches, strict=True):
                found.add((patch_PC - mean_C) / scale_C, owner, pool, settings.num_neighbours)
    return tuple(
        found.memory(mean_C=mean_C, scale_C=scale_C, memory_KC=pool_KC, owner_K=owner_K)
        for found, (mean_C, scale_C), (pool_KC, owner_K) in zip(left_out, normal, kept, strict=True)
    )


def to_tensors(memories: Sequence[MapMemory]) -> dict[str, Tensor]:
    """As an enrolment keeps them."""
    return {
        f"map{i}.{field.name}": getattr(memory, field.name)
        for i, memory in enumerate(memories)
        for field in dataclasses.fields(memory)
    }


def from_tensors(tensors: Mapping[str, Tensor], num_levels: int) -> tuple[MapMemory, ...]:
    """The memories of an enrolment, by level; the inverse of `to_tensors`."""
    names = [field.name for field in dataclasses.fields(MapMemory)]
    return tuple(
        MapMemory(**{name: tensors[f"map{i}.{name}"] for name in names}) for i in range(num_levels + 1)
    )


def _patches(passes: Iterable[Blocks], cells: Cells) -> Iterator[tuple[tuple[int, ...], list[list[Tensor]]]]:
    """Whose each block is, and for every map the patches (P, C) of each block that count."""
    for blocks in passes:
        maps = joined_and_levels(blocks.levels)
        yield blocks.images, [cells.patches(blocks, crop_to_core(blocks, m)) for m in maps]


def _scales(variance_C: Tensor, group: Sequence[int]) -> Tensor:
    """One deviation for all channels of a level, by their number too, so that every level weighs alike."""
    scales = [v.sum().sqrt().clamp_min(1e-6).expand(len(v)) for v in torch.split(variance_C, list(group))]
    scale_C: Tensor = torch.cat(scales) * len(group) ** 0.5
    return scale_C.float()


class _LeftOut:
    """Statistics of reference patches that are aligned to those of the other references."""

    def __init__(self) -> None:
        self._numbers, self._squares = Moments(), Moments()

    def add(self, patch_PC: Tensor, owner: int, pool: tuple[Tensor, Tensor], num_neighbours: int) -> None:
        owner_P = torch.full((len(patch_PC),), owner, device=patch_PC.device)
        found = align(patch_PC, pool[0], num_neighbours=num_neighbours, owners=(owner_P, pool[1]))
        nearest_P = found.distance_QA[:, 0]
        is_there_P = nearest_P.isfinite()
        length_P = torch.linalg.vector_norm(found.residual_QC, dim=1)
        self._numbers.add(torch.stack((nearest_P, length_P, found.spread_Q), dim=1)[is_there_P])
        self._squares.add(found.residual_QC[is_there_P].square())

    def memory(self, *, mean_C: Tensor, scale_C: Tensor, memory_KC: Tensor, owner_K: Tensor) -> MapMemory:
        if self._numbers.count == 0:  # one patch alone: it has nothing to be compared with
            mean_3, deviation, residual_C = mean_C.new_ones(3), mean_C.new_ones(()), torch.ones_like(mean_C)
        else:
            mean_3 = self._numbers.mean.float().clamp_min(1e-6)
            deviation = self._numbers.variance[0].sqrt().float()
            residual_C = self._squares.mean.sqrt().float()
        return MapMemory(
            mean_C=mean_C,
            scale_C=scale_C,
            memory_KC=memory_KC,
            usual_K=usual_distances(memory_KC, owner_K),
            residual_C=residual_C.clamp_min(_MIN_SHARE * float(residual_C.mean()) + 1e-6),
            location=mean_3[0],
            deviation=deviation.clamp_min(_MIN_SHARE * float(mean_3[0])),
            length=mean_3[1],
            spread=mean_3[2],
        )
