"""`patchcore`: PatchCore (Roth et al., *Towards Total Recall in Industrial Anomaly Detection*, CVPR 2022).

Locally averaged patches of two backbone levels, a coreset of them as memory, the distance to the nearest,
and an image score re-weighted by how crowded the memory is there. Where implementations differ, this is
anomalib's; `docs/guide/methods.md` lists the points.
"""

# N images, B blocks, P patches of a block, C channels, K memory patches, A neighbours, Q = B P

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from dgad.comparer.model import patches
from dgad.domains.image_set import ImageSet
from dgad.features.backbone import Backbone, check_strides
from dgad.features.grids import Cells, PatchGrids
from dgad.features.memory.coreset import coreset
from dgad.features.memory.coverage import CoverageMemory
from dgad.features.memory.nearest import nearest_patches
from dgad.features.settings import FeatureSettings
from dgad.features.statistics import statistics_of, tensors_of
from dgad.methods.base import Enrolled, Scores, check_references
from dgad.methods.order import content_order
from dgad.methods.score_maps import Upsampling, draw_maps
from dgad.methods.training_free import TrainingFree
from dgad.settings import check_pyramid, pyramid_strides, require, require_odd

_BLUR_REACH = 4.0
"""Deviations at which the map's Gaussian is cut off."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PatchcoreSettings:
    """One configuration; raises `SettingsError` for a value out of range."""

    FORMER_NAMES: ClassVar[Mapping[str, str]] = {"max_reference_patches": "max_memory_patches"}

    finest_stride: Literal[4, 8, 16] = 8
    num_levels: int = 2
    neighbourhood: int = 3
    """Patches are averages over this many cells square, the zeros beyond the border among them; odd."""
    coreset_ratio: float = 0.25
    """The part of the references' patches that is kept; at least one patch. Less than a quarter of the few
    patches of ten references makes the score a matter of the draw."""
    num_neighbours: int = 9
    """How many memory patches decide the re-weighting (the paper's b); 1 turns it off."""
    max_memory_patches: int = 2048
    """And at most so many, whatever the ratio."""
    map_upsampling: Upsampling = "nearest"
    map_sigma_px: float = 4.0

    def __post_init__(self) -> None:
        check_pyramid(self.finest_stride, self.num_levels)
        require_odd("neighbourhood", self.neighbourhood)
        require(0 < self.coreset_ratio <= 1, "coreset_ratio", "above 0 and at most 1", self.coreset_ratio)
        require(self.num_neighbours >= 1, "num_neighbours", "at least 1", self.num_neighbours)
        require(self.max_memory_patches >= 1, "max_memory_patches", "at least 1", self.max_memory_patches)
        # Borders are reflected, and the smallest image has 32 px.
        require(0 <= self.map_sigma_px <= 7, "map_sigma_px", "0 to 7", self.map_sigma_px)

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride in px of each level, finest first."""
        return pyramid_strides(self.finest_stride, self.num_levels)


class PatchcoreMethod(TrainingFree):
    """Distance to a coreset of reference patches, the image score re-weighted by the memory's density."""

    name: ClassVar[str] = "patchcore"
    title: ClassVar[str] = "PatchCore"
    settings_type: ClassVar[type[Any]] = PatchcoreSettings
    presets: ClassVar[Mapping[str, Any]] = {"default": PatchcoreSettings()}
    zero_border: ClassVar[bool] = True
    settings: PatchcoreSettings

    @classmethod
    def check_features(cls, settings: PatchcoreSettings, features: FeatureSettings) -> None:
        """Its levels need a pyramid that has them."""
        check_strides(features, settings.strides)

    def make_backbone(self, *, seed: int) -> Backbone:
        """With the levels of the settings."""
        return Backbone(self.context.features, self.settings.strides, seed=seed)

    @torch.no_grad()
    def enroll(self, references: ImageSet) -> Enrolled:
        """The memory (K, C): a coreset of the references' patches, whatever their order."""
        check_references(references)
        settings = self.settings
        ordered = references.take(content_order(references))
        cells = Cells(ordered)
        # Which patches are kept is part of the method, not of the seed of a fit.
        memory = CoverageMemory(settings.max_memory_patches, seed=0)
        statistics = self.measure(ordered)
        for blocks, map_BChw in self.joined_blocks(ordered, statistics):
            for owner, patch_PC in zip(blocks.images, cells.patches(blocks, map_BChw), strict=True):
                memory.add(patch_PC, owner)
        pool_KC, _ = memory.result()
        num_kept = max(1, int(memory.num_given * settings.coreset_ratio))
        memory_KC = pool_KC[coreset(pool_KC, num_kept, seed=0)]
        tensors = {"memory": memory_KC.contiguous(), **tensors_of(statistics)}
        return Enrolled(method=self.name, num_references=len(references), tensors=tensors)

    @torch.no_grad()
    def score(self, queries: ImageSet, enrolled: Enrolled) -> Scores:
        """The re-weighted distance of the farthest patch, and the distances of all patches smoothed."""
        settings = self.settings
        memory_KC = enrolled.tensors["memory"].to(self.context.device)
        grids, cells = PatchGrids(queries), Cells(queries)
        farthest: list[_Patch | None] = [None] * len(queries)
        for blocks, map_BChw in self.joined_blocks(queries, statistics_of(enrolled.tensors)):
            query_BPC = patches(map_BChw)
            distance_Q, nearest_Q = nearest_patches(query_BPC.flatten(0, 1), memory_KC)
            distance_BP, nearest_BP = (x.view(query_BPC.shape[:2]) for x in (distance_Q, nearest_Q))
            grids.fill(blocks, distance_BP.view(len(blocks), *map_BChw.shape[-2:]))
            for row, index in enumerate(blocks.images):
                inside_P = cells.inside(blocks, row, map_BChw.shape[-2:]).flatten().to(distance_BP.device)
                distance_P = distance_BP[row].where(inside_P, -torch.inf)
                at = distance_P.argmax()
                before = farthest[index]
                if before is None or bool(distance_P[at] > before.distance):
                    farthest[index] = _Patch(
                        distance=distance_P[at],
                        patch_C=query_BPC[row, at].clone(),
                        nearest=nearest_BP[row, at],
                    )
        found = [patch for patch in farthest if patch is not None]
        image_N = torch.zeros(0)
        if found:
            image_N = _reweight(
                torch.stack([patch.distance for patch in found]),
                torch.stack([patch.patch_C for patch in found]),
                torch.stack([patch.nearest for patch in found]),
                memory_KC,
                settings.num_neighbours,
            ).cpu()
        maps = draw_maps(
            [grids],
            queries,
            sigma_px=settings.map_sigma_px,
            upsampling=settings.map_upsampling,
            reach=_BLUR_REACH,
            border="reflect",
        )
        return Scores(image=image_N, pixels=maps)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Patch:
    """A query's farthest patch so far."""

    distance: Tensor
    patch_C: Tensor
    nearest: Tensor
    """Index of the memory's patch nearest to it."""


def _reweight(
    distance_B: Tensor, patch_BC: Tensor, nearest_B: Tensor, memory_KC: Tensor, num_neighbours: int
) -> Tensor:
    """Image scores (B,): w s of the paper's Eq. 7, for a query's farthest patch at distance s.

    w = 1 - exp(s) / sum of exp(distances to the memory patches around the nearest one, itself among them),
    which is larger where that patch is lonely in the memory. `nearest_B` indexes the memory. With one
    neighbour s itself; so too with a memory of one patch, which would give every query 0.
    """
    num_neighbours = min(num_neighbours, len(memory_KC))
    if num_neighbours == 1:
        return distance_B
    # Exact, so that no neighbour depends on the batch.
    around_BK = torch.cdist(memory_KC[nearest_B], memory_KC, compute_mode="donot_use_mm_for_euclid_dist")
    around_BK.scatter_(1, nearest_B[:, None], -1.0)  # it comes first, before duplicates of itself
    neighbour_BA = around_BK.topk(num_neighbours, dim=1, largest=False).indices
    each_BA = torch.linalg.vector_norm(memory_KC[neighbour_BA] - patch_BC[:, None], dim=2)
    weight_B: Tensor = 1 - each_BA.softmax(1)[:, 0]
    return weight_B * distance_B
