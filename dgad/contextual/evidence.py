"""What the decoder sees of every patch: its residual channel by channel, and how usual its distances are."""

# B blocks, Q = B h w patches, C channels, M measures, h_i w_i the cells of level i

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from dgad.contextual.alignment import align
from dgad.contextual.memory import MapMemory, joined_and_levels

NUM_MEASURES = 9
_BENT_AT = 6.0
"""Deviations from which on a residual's size counts less and less."""
_MOST = 6.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """The evidence of blocks, finest level first."""

    plain_Bhw: Tensor
    """Distance to the nearest reference patch of the joint map, in deviations of left-out references."""
    residuals: tuple[Tensor, ...]
    """(B, C_i, h_i, w_i): each channel's residual over its size on left-out references, bent, 0 to 6."""
    measures: tuple[Tensor, ...]
    """(B, M, h_i, w_i): distances, lengths and spreads relative to those of left-out references, -6 to 6."""


@torch.no_grad()
def gather_evidence(
    levels: Sequence[Tensor], memories: Sequence[MapMemory], *, num_neighbours: int
) -> Evidence:
    """The evidence of maps, one a level; `memories` has the joint map's first."""
    joined, *maps = joined_and_levels(levels)
    first = memories[0]
    nearest_Q = align(first.normalise(joined), first.memory_KC, num_neighbours=1).distance_QA[:, 0]
    plain_Q = (nearest_Q - first.location) / first.deviation
    residuals, measures = [], []
    for level, memory in zip(maps, memories[1:], strict=True):
        residual_QC, measure_QM = _of_patches(memory.normalise(level), memory, num_neighbours)
        residuals.append(_as_map(residual_QC, level))
        measures.append(_as_map(measure_QM, level))
    return Evidence(
        plain_Bhw=plain_Q.view(joined.shape[0], *joined.shape[-2:]),
        residuals=tuple(residuals),
        measures=tuple(measures),
    )


def _of_patches(patch_QC: Tensor, memory: MapMemory, num_neighbours: int) -> tuple[Tensor, Tensor]:
    """Bent residuals (Q, C) and measures (Q, M)."""
    found = align(patch_QC, memory.memory_KC, num_neighbours=num_neighbours)
    size_QC = (found.residual_QC / memory.residual_C).abs()
    square_Q = size_QC.square().mean(1)
    nearest_Q, farthest_Q = found.distance_QA[:, 0], found.distance_QA[:, -1]
    usual_Q = memory.usual_K[found.nearest_Q]
    # Shifted and stretched so that each is about 0 and of the order of 1 where nothing is wrong.
    measures = [
        (nearest_Q - memory.location) / memory.deviation / 3,
        nearest_Q / usual_Q / memory.location - 1,
        torch.linalg.vector_norm(found.residual_QC, dim=1) / memory.length - 1,
        found.spread_Q / memory.spread - 1,
        (farthest_Q - nearest_Q) / memory.location * 3 - 0.7,
        usual_Q * 2 - 2,
        size_QC.amax(1) / 5 - 0.6,
        (size_QC.mean(1).square() / (square_Q + 1e-6) - 0.6) * 5,  # 1 where all channels differ alike
        square_Q.sqrt() - 1,
    ]
    return size_QC / (1 + size_QC / _BENT_AT), torch.stack(measures, dim=1).clamp(-_MOST, _MOST)


def _as_map(value_QM: Tensor, like_BChw: Tensor) -> Tensor:
    batch, _, height, width = like_BChw.shape
    return value_QM.view(batch, height, width, -1).movedim(-1, 1)
