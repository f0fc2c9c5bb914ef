"""`patch_knn`: training-free distance to the nearest reference patch, on any backbone.

On a pyramid, the memory of PatchCore (Roth et al., CVPR 2022) without coreset and re-weighting: patches of
one or several levels, brought to the finest level's grid and joined. On a vision transformer, the patch
tokens of one block; with the preset `anomalydino` as AnomalyDINO has them (Damm et al., WACV 2025).
"""

# B blocks, N images, P patches, C channels, K reference patches, Q patches of a batch of blocks, h w cells

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dgad.comparer.model import patches
from dgad.domains.image_set import ImageSet
from dgad.features.backbone import Backbone, check_single, check_strides
from dgad.features.frozen import Blocks
from dgad.features.grids import Cells, PatchGrids
from dgad.features.levels import check_levels
from dgad.features.memory.coverage import CoverageMemory
from dgad.features.memory.nearest import nearest_patches, usual_distances
from dgad.features.moments import Moments
from dgad.features.settings import FeatureSettings
from dgad.features.statistics import statistics_of, tensors_of
from dgad.methods.base import Enrolled, Scores, check_references
from dgad.methods.order import content_order
from dgad.methods.score_maps import Upsampling, draw_maps, pool_images
from dgad.methods.training_free import TrainingFree
from dgad.settings import check_pyramid, pyramid_strides, require, require_odd


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PatchKnnSettings:
    """One configuration; raises `SettingsError` for a value out of range."""

    FORMER_NAMES: ClassVar[Mapping[str, str]] = {"max_reference_patches": "max_memory_patches"}

    finest_stride: Literal[4, 8, 16] = 4
    num_levels: int = 2
    token_layer: int | None = None
    """Instead of the levels, the patch tokens of this block of a vision transformer: -1 is the last."""
    neighbourhood: int = 1
    """Patches are averages over this many cells square; odd."""
    distance: Literal["euclidean", "cosine"] = "euclidean"
    """Cosine: 1 - cos of the angle between two patches, 0 to 2."""
    reference_norm: Literal["none", "scalar", "channel"] = "scalar"
    """Divide by one deviation a level, so that every level weighs alike, or by one a channel."""
    density_correction: bool = True
    """Divide each distance by what is usual around the nearest reference patch (needs 2 references)."""
    score_pooling: Literal["max", "top_fraction"] = "top_fraction"
    top_fraction: float = 0.016
    max_memory_patches: int = 2048
    """Of more reference patches so many are kept that cover the others."""
    map_upsampling: Upsampling = "nearest"
    map_sigma_px: float = 4.0

    def __post_init__(self) -> None:
        check_pyramid(self.finest_stride, self.num_levels)
        require_odd("neighbourhood", self.neighbourhood)
        require(
            self.token_layer is None or self.token_layer <= -1,
            "token_layer",
            "-1 (the last block), -2 (the one before), ..., or null",
            self.token_layer,
        )
        require(0 < self.top_fraction <= 1, "top_fraction", "above 0 and at most 1", self.top_fraction)
        require(self.max_memory_patches >= 1, "max_memory_patches", "at least 1", self.max_memory_patches)
        require(self.map_sigma_px >= 0, "map_sigma_px", "at least 0", self.map_sigma_px)

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride in px of each level, finest first; without meaning where `token_layer` is set."""
        return pyramid_strides(self.finest_stride, self.num_levels)


ANOMALYDINO = PatchKnnSettings(
    token_layer=-1,
    distance="cosine",
    reference_norm="none",
    density_correction=False,
    top_fraction=0.01,
    map_upsampling="bilinear",
)


class PatchKnnMethod(TrainingFree):
    """Distance of each query patch to the nearest patch of all references."""

    name: ClassVar[str] = "patch_knn"
    title: ClassVar[str] = "Patch k-NN"
    settings_type: ClassVar[type[Any]] = PatchKnnSettings
    presets: ClassVar[Mapping[str, Any]] = {"default": PatchKnnSettings(), "anomalydino": ANOMALYDINO}
    settings: PatchKnnSettings

    @classmethod
    def check_features(cls, settings: PatchKnnSettings, features: FeatureSettings) -> None:
        """Levels need a pyramid, `token_layer` a vision transformer."""
        if settings.token_layer is None:
            check_strides(features, settings.strides, joins_second=True)
        else:
            check_single(features)
            check_levels(features.backbone, settings.token_layer)

    def make_backbone(self, *, seed: int) -> Backbone:
        """With the levels or the token layer of the settings."""
        layer, features = self.settings.token_layer, self.context.features
        return Backbone(features, self.settings.strides, seed=seed, token_layer=layer, joins_second=True)

    @torch.no_grad()
    def enroll(self, references: ImageSet) -> Enrolled:
        """The memory of normalised reference patches (K, C) and the statistics that normalise queries."""
        check_references(references)
        ordered = references.take(content_order(references))
        statistics = self.measure(ordered)
        passes, cells = self.reference_passes(ordered, statistics), Cells(ordered)
        mean_C, scale_C = self._moments(passes, cells)
        memory = CoverageMemory(self.settings.max_memory_patches)
        for blocks, map_BChw in passes:
            for owner, patch_PC in zip(blocks.images, cells.patches(blocks, map_BChw), strict=True):
                memory.add(self._comparable((patch_PC - mean_C) / scale_C), owner)
        memory_KC, owner_K = memory.result()
        if self.settings.density_correction:
            usual_K = usual_distances(memory_KC, owner_K)
        else:
            usual_K = memory_KC.new_ones(len(memory_KC))
        tensors = {"memory": memory_KC, "mean": mean_C, "scale": scale_C, "usual": usual_K}
        tensors |= tensors_of(statistics)
        return Enrolled(method=self.name, num_references=len(references), tensors=tensors)

    def _moments(self, passes: Iterable[tuple[Blocks, Tensor]], cells: Cells) -> tuple[Tensor, Tensor]:
        norm, num_channels = self.settings.reference_norm, sum(self.backbone.channels)
        if norm == "none":
            zeros = torch.zeros(num_channels, device=self.context.device)
            return zeros, torch.ones_like(zeros)
        moments = Moments()
        for blocks, map_BChw in passes:
            for patch_PC in cells.patches(blocks, map_BChw):
                moments.add(patch_PC)
        mean_C, variance_C = moments.mean, moments.variance
        if norm == "scalar":
            levels = torch.split(variance_C, list(self.backbone.channels))
            # By the root of its channels too: a distance is then a root mean square, whatever the level.
            scales = [v.sum().sqrt().clamp_min(1e-6).expand(len(v)) for v in levels]
            return mean_C.float(), (torch.cat(scales) * len(levels) ** 0.5).float()
        std_C = variance_C.sqrt()
        # A channel that is dead on the references must not dominate by a tiny divisor.
        return mean_C.float(), std_C.clamp_min(1e-3 * float(std_C.max()) + 1e-6).float()

    def _comparable(self, patch_NPC: Tensor) -> Tensor:
        """Patches whose Euclidean distance orders them: for cosine, of length 1."""
        return F.normalize(patch_NPC, dim=-1) if self.settings.distance == "cosine" else patch_NPC

    @torch.no_grad()
    def score(self, queries: ImageSet, enrolled: Enrolled) -> Scores:
        """The mean of the largest patch distances, and the distances of all patches smoothed."""
        settings = self.settings
        kept = {name: tensor.to(self.context.device) for name, tensor in enrolled.tensors.items()}
        grids = PatchGrids(queries)
        for blocks, map_BChw in self.joined_blocks(queries, statistics_of(enrolled.tensors)):
            query_QC = patches(map_BChw).flatten(0, 1)
            query_QC = self._comparable((query_QC - kept["mean"]) / kept["scale"])
            distance_Q, nearest_Q = nearest_patches(query_QC, kept["memory"])
            distance_Q = distance_Q / kept["usual"][nearest_Q]
            if settings.distance == "cosine":
                distance_Q = distance_Q.square() / 2  # |u - v|^2 = 2 - 2 cos, where both have length 1
            grids.fill(blocks, distance_Q.view(len(blocks), *map_BChw.shape[-2:]))
        return Scores(
            image=pool_images(
                grids,
                fraction=None if settings.score_pooling == "max" else settings.top_fraction,
                pooled_area_px=self.context.features.geometry.pooled_area_px,
            ),
            pixels=draw_maps(
                [grids], queries, sigma_px=settings.map_sigma_px, upsampling=settings.map_upsampling
            ),
        )
