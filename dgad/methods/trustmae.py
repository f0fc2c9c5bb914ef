"""`trustmae`: nearest memory slots that keep away from noise, judged by features (Tan et al., WACV 2021)."""

# N images, B crops a step, S pixels a side

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.methods.reconstruction import ReconstructionMethod
from dgad.reconstruction.memory import TrustMemory
from dgad.reconstruction.networks import Reconstructor
from dgad.reconstruction.perceptual import PerceptualDistance
from dgad.reconstruction.settings import ReconstructionSettings, TrustMAESettings

_PERCEPTUAL_STRIDES = (4, 8)
"""Levels of the backbone that images are compared by: the finest two of a ResNet after its stem."""


class TrustMAEMethod(ReconstructionMethod):
    """Distance, as the frozen backbone sees it, from a query to what the nearest slots say of it."""

    name: ClassVar[str] = "trustmae"
    title: ClassVar[str] = "TrustMAE"
    settings_type: ClassVar[type[Any]] = TrustMAESettings
    presets: ClassVar[Mapping[str, Any]] = {"default": TrustMAESettings()}
    settings: TrustMAESettings

    @classmethod
    def backbone_strides(cls, settings: ReconstructionSettings) -> tuple[int, ...]:
        """Those that images are compared by, and the encoder's."""
        return tuple(sorted({*_PERCEPTUAL_STRIDES, *super().backbone_strides(settings)}))

    def make_bottleneck(self) -> TrustMemory:
        """Make the memory that latents are replaced from, by the nearest slots."""
        return TrustMemory(self.settings)

    def make_network(self, in_channels: int | None) -> Reconstructor:
        """With the perceptual distance as a part, so that what it takes from references is enrolled."""
        assert self.backbone is not None
        by_stride = dict(zip(self.backbone.strides, self.backbone.channels, strict=True))
        network = super().make_network(in_channels)
        network.add_module("distance", PerceptualDistance([by_stride[s] for s in _PERCEPTUAL_STRIDES]))
        return network

    def before_training(self, network: Reconstructor, references: ImageSet) -> None:
        """Units of the perceptual distance too."""
        super().before_training(network, references)
        _distance_of(network).scale_by(
            _choose_compared(self.query_maps(batch))
            for batch in references.batches(self.context.scoring_batch)
        )

    @torch.no_grad()
    def after_training(self, network: Reconstructor, references: ImageSet) -> None:
        """What reconstruction usually does to a feature, if the settings ask for it."""
        if not self.settings.centred:
            return
        _distance_of(network).centre_on(
            (
                _choose_compared(self.query_maps(batch)),
                _choose_compared(self.maps(network.images(self.rebuild(network, batch)))),
            )
            for batch in references.batches(self.context.scoring_batch)
        )

    def loss(self, network: Reconstructor, pixels_B3SS: Tensor, images_B3SS: Tensor) -> Tensor:
        """Squared error and perceptual distance."""
        squared = super().loss(network, pixels_B3SS, images_B3SS)
        if self.settings.perceptual_weight == 0:
            return squared
        with torch.no_grad():
            maps = self.maps(images_B3SS)
        return squared + self.settings.perceptual_weight * self._distance(network, pixels_B3SS, maps).mean()

    def error_maps(self, network: Reconstructor, pixels_N3SS: Tensor, queries: ImageSet) -> Tensor:
        """Perceptual distance, at least 0."""
        return self._distance(network, pixels_N3SS, self.query_maps(queries))

    def _distance(self, network: Reconstructor, pixels_N3SS: Tensor, maps: Mapping[int, Tensor]) -> Tensor:
        rebuilt = self.maps(network.images(pixels_N3SS))
        distance: Tensor = _distance_of(network)(
            _choose_compared(maps), _choose_compared(rebuilt), pixels_N3SS.shape[-1]
        )
        return distance


def _distance_of(network: Reconstructor) -> PerceptualDistance:
    """The perceptual distance that is a part of TrustMAE's network."""
    part = network.get_submodule("distance")
    assert isinstance(part, PerceptualDistance)
    return part


def _choose_compared(maps: Mapping[int, Tensor]) -> list[Tensor]:
    """The maps of those levels that images are compared by."""
    return [maps[stride] for stride in _PERCEPTUAL_STRIDES]
