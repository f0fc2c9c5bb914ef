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
from dgad.reconstruction.perceptual import perceptual_maps
from dgad.reconstruction.settings import ReconstructionSettings, TrustMAESettings

PERCEPTUAL_STRIDES = (4, 8)
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
        return tuple(sorted({*PERCEPTUAL_STRIDES, *super().backbone_strides(settings)}))

    def make_bottleneck(self) -> TrustMemory:
        """N slots."""
        return TrustMemory(self.settings)

    def loss(self, network: Reconstructor, pixels_B3SS: Tensor, images_B3SS: Tensor) -> Tensor:
        """Squared error and perceptual distance."""
        squared = super().loss(network, pixels_B3SS, images_B3SS)
        if self.settings.perceptual_weight == 0:
            return squared
        with torch.no_grad():
            maps = self.maps(images_B3SS)
        return squared + self.settings.perceptual_weight * self._distance(network, pixels_B3SS, maps).mean()

    def error_maps(self, network: Reconstructor, pixels_N3SS: Tensor, queries: ImageSet) -> Tensor:
        """Perceptual distance, 0 to 1."""
        return self._distance(network, pixels_N3SS, self.query_maps(queries))

    def _distance(self, network: Reconstructor, pixels_N3SS: Tensor, maps: Mapping[int, Tensor]) -> Tensor:
        rebuilt = self.maps(network.images(pixels_N3SS))
        return perceptual_maps(
            [maps[s] for s in PERCEPTUAL_STRIDES],
            [rebuilt[s] for s in PERCEPTUAL_STRIDES],
            pixels_N3SS.shape[-1],
        )
