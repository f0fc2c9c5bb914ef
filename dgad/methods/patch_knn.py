"""`patch_knn`: training-free distance to the nearest reference patch, on the comparer's own backbone.

The memory of PatchCore (Roth et al., CVPR 2022) without coreset and re-weighting: locally averaged
patches of one or several backbone levels, brought to the finest level's grid and joined.
"""

# B queries, R references, N images, S pixels a side, P patches, C channels, K reference patches

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dgad.comparer.model import gaussian_smooth, patches, sample_patches
from dgad.domains.image_set import ImageSet
from dgad.episodes import SourceDomain
from dgad.errors import DataError
from dgad.features.backbone import Backbone, FrozenFeatures
from dgad.features.nearest import nearest_patches, usual_distances
from dgad.methods.base import Context, Enrolled, Method, Scores, Traits, check_references
from dgad.methods.order import content_order
from dgad.seeds import seed_for
from dgad.settings import require

SCORING_BATCH = 16


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PatchKnnSettings:
    """One configuration; raises `SettingsError` for a value out of range."""

    finest_stride: Literal[4, 8, 16] = 4
    num_levels: int = 2
    neighbourhood: int = 1
    """Patches are averages over this many cells square; odd."""
    reference_norm: Literal["none", "scalar", "channel"] = "scalar"
    """Divide by one deviation a level, so that every level weighs alike, or by one a channel."""
    density_correction: bool = True
    """Divide each distance by what is usual around the nearest reference patch (needs 2 references)."""
    score_pooling: Literal["max", "top_fraction"] = "top_fraction"
    top_fraction: float = 0.03
    max_reference_patches: int = 20_000
    """Larger memories are a seeded sample of this size."""
    map_sigma_px: float = 4.0

    def __post_init__(self) -> None:
        require(1 <= self.num_levels <= 4, "num_levels", "1 to 4", self.num_levels)
        require(
            self.neighbourhood >= 1 and self.neighbourhood % 2 == 1,
            "neighbourhood",
            "odd and at least 1",
            self.neighbourhood,
        )
        require(
            self.finest_stride * 2 ** (self.num_levels - 1) <= 32,
            "num_levels",
            "such that no level is coarser than stride 32",
            self.num_levels,
        )
        require(0 < self.top_fraction <= 1, "top_fraction", "above 0 and at most 1", self.top_fraction)
        require(
            self.max_reference_patches >= 1, "max_reference_patches", "at least 1", self.max_reference_patches
        )
        require(self.map_sigma_px >= 0, "map_sigma_px", "at least 0", self.map_sigma_px)

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride in px of each level, finest first."""
        return tuple(self.finest_stride * 2**i for i in range(self.num_levels))


class PatchKnnMethod(Method):
    """Euclidean distance of each query patch to the nearest patch of all references."""

    name: ClassVar[str] = "patch_knn"
    title: ClassVar[str] = "Patch k-NN"
    traits: ClassVar[Traits] = Traits(
        learns=False,
        needs_defects=False,
        min_sources=0,
        trains_at_enrolment=False,
        gives_pixels=True,
        servable=True,
    )
    settings_type: ClassVar[type[Any]] = PatchKnnSettings
    presets: ClassVar[Mapping[str, Any]] = {"default": PatchKnnSettings()}

    def __init__(self, settings: PatchKnnSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.settings: PatchKnnSettings = settings
        self.fit((), seed=0)

    def fit(self, sources: Sequence[SourceDomain], *, seed: int) -> None:
        """Nothing is learnt; random backbone weights are drawn from the seed, as for every method."""
        self.backbone = Backbone(
            self.context.features, self.settings.strides, seed=seed_for(seed, "backbone")
        ).to(self.context.device)
        self._frozen: FrozenFeatures | None = None

    @torch.no_grad()
    def enroll(self, references: ImageSet) -> Enrolled:
        """The memory of normalised reference patches (K, C) and the statistics that normalise queries."""
        check_references(references)
        map_RChw = self._joined_maps(references.take(content_order(references)))
        mean_C, scale_C = self._statistics(map_RChw)
        memory_KC = ((patches(map_RChw) - mean_C) / scale_C).flatten(0, 1)
        generator = torch.Generator().manual_seed(0)
        owner_K = torch.arange(len(references), device=memory_KC.device).repeat_interleave(
            map_RChw.shape[2] * map_RChw.shape[3]
        )
        chosen = sample_patches(torch.arange(len(memory_KC)), self.settings.max_reference_patches, generator)
        memory_KC, owner_K = memory_KC[chosen], owner_K[chosen]
        if self.settings.density_correction:
            usual_K = usual_distances(memory_KC, owner_K)
        else:
            usual_K = memory_KC.new_ones(len(memory_KC))
        tensors = {"memory": memory_KC, "mean": mean_C, "scale": scale_C, "usual": usual_K}
        return Enrolled(method=self.name, num_references=len(references), tensors=tensors)

    def _statistics(self, map_RChw: Tensor) -> tuple[Tensor, Tensor]:
        norm = self.settings.reference_norm
        mean_C = map_RChw.mean((0, 2, 3))
        if norm == "none":
            return torch.zeros_like(mean_C), torch.ones_like(mean_C)
        centred = map_RChw - mean_C.view(1, -1, 1, 1)
        if norm == "scalar":
            levels = torch.split(centred, list(self.backbone.channels), dim=1)
            # By the root of its channels too: a distance is then a root mean square, whatever the level.
            scales = [
                (c.square().mean() * c.shape[1]).sqrt().clamp_min(1e-6).expand(c.shape[1]) for c in levels
            ]
            return mean_C, torch.cat(scales) * len(levels) ** 0.5
        std_C = centred.square().mean((0, 2, 3)).sqrt()
        # A channel that is dead on the references must not dominate by a tiny divisor.
        return mean_C, std_C.clamp_min(1e-3 * float(std_C.max()) + 1e-6)

    def _joined_maps(self, images: ImageSet) -> Tensor:
        if self._frozen is None:
            self._frozen = FrozenFeatures(self.backbone, self.context.cache, self.context.device)
        size = self.settings.neighbourhood
        maps = []
        for level in self._frozen.maps(images):
            averaged = F.avg_pool2d(level, size, stride=1, padding=size // 2, count_include_pad=False)
            maps.append(averaged)
        grid = maps[0].shape[-2:]
        return torch.cat([maps[0], *(F.interpolate(m, size=grid, mode="bilinear") for m in maps[1:])], dim=1)

    @torch.no_grad()
    def score(self, queries: ImageSet, enrolled: Enrolled) -> Scores:
        """Distances, higher is more anomalous."""
        settings, size = self.settings, int(queries.images.shape[-1])
        kept = {name: tensor.to(self.context.device) for name, tensor in enrolled.tensors.items()}
        images, pixels = [], []
        for start in range(0, len(queries), SCORING_BATCH):
            batch = queries.take(range(start, min(start + SCORING_BATCH, len(queries))))
            map_BChw = self._joined_maps(batch)
            query_BPC = (patches(map_BChw) - kept["mean"]) / kept["scale"]
            distance_Q, nearest_Q = nearest_patches(query_BPC.flatten(0, 1), kept["memory"])
            distance_BP = (distance_Q / kept["usual"][nearest_Q]).view(query_BPC.shape[:2])
            num_top = max(1, round(settings.top_fraction * distance_BP.shape[1]))
            top = 1 if settings.score_pooling == "max" else num_top
            images.append(distance_BP.topk(top, dim=1).values.mean(1).cpu())
            grid_B1hw = distance_BP.view(len(batch), 1, *map_BChw.shape[-2:])
            map_BSS = F.interpolate(grid_B1hw, size=(size, size), mode="nearest")[:, 0]
            smoothed = (
                gaussian_smooth(map_BSS, settings.map_sigma_px) if settings.map_sigma_px > 0 else map_BSS
            )
            pixels.append(smoothed.cpu())
        if not images:
            return Scores(image=torch.zeros(0), pixels=torch.zeros(0, size, size))
        return Scores(image=torch.cat(images), pixels=torch.cat(pixels))

    def state(self) -> dict[str, Tensor]:
        """The backbone's weights."""
        return {k: v.detach().cpu().clone() for k, v in self.backbone.state_dict().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Raises `DataError` when the tensors are not those of these settings."""
        try:
            self.backbone.load_state_dict(dict(state))
        except RuntimeError as error:
            raise DataError(f"The weights do not fit the settings of `{self.name}`: {error}") from error
        self._frozen = None
