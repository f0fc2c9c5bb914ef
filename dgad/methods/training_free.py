"""What methods share that compare frozen features with those of the references and learn nothing."""

# B queries, N images, S pixels a side, P patches, h w their grid

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.features.backbone import Backbone
from dgad.features.frozen import FrozenFeatures
from dgad.methods.base import Context, Enrolled, Method, Scores, Traits
from dgad.seeds import seed_for
from dgad.training.episodes import SourceDomain
from dgad.training.weights import collect_state, load_into

Upsampling = Literal["nearest", "bilinear"]


class TrainingFree(Method):
    """A frozen backbone, scoring in batches of 16, and weights that are the backbone's alone."""

    traits: ClassVar[Traits] = Traits(
        learns=False,
        needs_defects=False,
        min_sources=0,
        trains_at_enrolment=False,
        gives_pixels=True,
        servable=True,
    )

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.fit((), seed=0)

    @abc.abstractmethod
    def make_backbone(self, *, seed: int) -> Backbone:
        """The backbone with the levels that the settings ask for."""

    @abc.abstractmethod
    def score_batch(self, queries: ImageSet, kept: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Image scores (B,) and pixel maps (B, S, S) of at most 16 queries, on the device.

        `kept` holds the enrolled tensors, on the device.
        """

    def fit(self, sources: Sequence[SourceDomain], *, seed: int) -> None:
        """Nothing is learnt; random backbone weights are drawn from the seed, as for every method."""
        self.backbone = self.make_backbone(seed=seed_for(seed, "backbone")).to(self.context.device)
        self._frozen: FrozenFeatures | None = None

    def maps(self, images: ImageSet) -> list[Tensor]:
        """Feature maps (N, C_i, h_i, w_i) of the frozen backbone, on the device."""
        return self._frozen_features().maps(images)

    def _frozen_features(self) -> FrozenFeatures:
        if self._frozen is None:
            self._frozen = FrozenFeatures(self.backbone, self.context.cache, self.context.device)
        return self._frozen

    def prepare(self, queries: ImageSet) -> None:
        """Compute the backbone's maps of the queries into the cache."""
        self._frozen_features().prepare(queries, self.context.scoring_batch)

    @torch.no_grad()
    def score(self, queries: ImageSet, enrolled: Enrolled) -> Scores:
        """Distances, higher is more anomalous."""
        kept = {name: tensor.to(self.context.device) for name, tensor in enrolled.tensors.items()}
        images: list[Tensor] = [torch.zeros(0)]
        pixels: list[Tensor] = []
        for batch in queries.batches(self.context.scoring_batch):
            image_B, map_BSS = self.score_batch(batch, kept)
            images.append(image_B.cpu())
            pixels += map_BSS.cpu().unbind(0)
        return Scores(image=torch.cat(images), pixels=tuple(pixels))

    def state(self) -> dict[str, Tensor]:
        """Copy the backbone's weights, all that a bundle needs of the method."""
        return collect_state({"": self.backbone})

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Raises `DataError` when the tensors are not those of these settings."""
        load_into({"": self.backbone}, state, method=self.name)
        self._frozen = None


def upsample(distance_BP: Tensor, grid: Sequence[int], size_px: int, mode: Upsampling) -> Tensor:
    """Patch distances as pixel maps (B, S, S)."""
    grid_B1hw = distance_BP.view(len(distance_BP), 1, *grid)
    return F.interpolate(grid_B1hw, size=(size_px, size_px), mode=mode)[:, 0]
