"""`patchcore`: PatchCore (Roth et al., *Towards Total Recall in Industrial Anomaly Detection*, CVPR 2022).

Locally averaged patches of two backbone levels, a coreset of them as memory, the distance to the nearest,
and an image score re-weighted by how crowded the memory is there. Where implementations differ, this is
anomalib's; `docs/guide/methods.md` lists the points.
"""

# B queries, R references, S pixels a side, P patches, C channels, K memory patches, A neighbours, Q = B P

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from dgad.comparer.model import gaussian_smooth, patches
from dgad.domains.image_set import ImageSet
from dgad.features.backbone import Backbone, check_strides
from dgad.features.coreset import coreset
from dgad.features.coverage import CoverageMemory
from dgad.features.joint_map import joint_map
from dgad.features.nearest import nearest_patches
from dgad.features.settings import FeatureSettings
from dgad.methods.base import Enrolled, check_references
from dgad.methods.order import content_order
from dgad.methods.training_free import TrainingFree, Upsampling, upsample
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
    max_memory_patches: int = 4096
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
        map_RChw = self._joined_maps(references.take(content_order(references)))
        # Which patches are kept is part of the method, not of the seed of a fit.
        memory = CoverageMemory(settings.max_memory_patches, seed=0)
        for owner, map_Chw in enumerate(map_RChw):
            memory.add(patches(map_Chw[None])[0], owner)
        pool_KC, _ = memory.result()
        num_kept = max(1, int(memory.num_given * settings.coreset_ratio))
        memory_KC = pool_KC[coreset(pool_KC, num_kept, seed=0)]
        return Enrolled(
            method=self.name, num_references=len(references), tensors={"memory": memory_KC.contiguous()}
        )

    def _joined_maps(self, images: ImageSet) -> Tensor:
        return joint_map(self.maps(images), self.settings.neighbourhood, zero_border=True)

    def score_batch(self, queries: ImageSet, kept: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The re-weighted distance of the farthest patch, and the distances of all patches smoothed."""
        settings, size = self.settings, queries.sizes[0][-1]
        map_BChw = self._joined_maps(queries)
        query_BPC = patches(map_BChw)
        distance_Q, nearest_Q = nearest_patches(query_BPC.flatten(0, 1), kept["memory"])
        distance_BP, nearest_BP = (x.view(query_BPC.shape[:2]) for x in (distance_Q, nearest_Q))
        farthest_B = distance_BP.argmax(1)
        row_B = torch.arange(len(queries), device=farthest_B.device)
        image_B = _reweight(
            distance_BP[row_B, farthest_B],
            query_BPC[row_B, farthest_B],
            nearest_BP[row_B, farthest_B],
            kept["memory"],
            settings.num_neighbours,
        )
        map_BSS = upsample(distance_BP, map_BChw.shape[-2:], size, settings.map_upsampling)
        if settings.map_sigma_px > 0:
            map_BSS = gaussian_smooth(map_BSS, settings.map_sigma_px, reach=_BLUR_REACH, border="reflect")
        return image_B, map_BSS


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
