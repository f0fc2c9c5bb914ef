"""`trustmae`: nearest memory slots that keep away from noise, judged by features (Tan et al., WACV 2021)."""

# N tiles, B crops a step, H x W pixels of a tile or crop

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.methods.reconstruction import ReconstructionMethod, mean_counted
from dgad.reconstruction.memory import TrustMemory
from dgad.reconstruction.networks import Reconstructor
from dgad.reconstruction.perceptual import PerceptualDistance
from dgad.reconstruction.settings import ReconstructionSettings, TrustMAESettings
from dgad.training.tiles import Tiles, count_cells

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

    def before_training(self, network: Reconstructor, references: Tiles) -> None:
        """Units of the perceptual distance too."""
        super().before_training(network, references)
        _distance_of(network).scale_by(
            counted
            for batch in references.batches(self.context.scoring_batch)
            for counted in _split_counted(
                _choose_compared(self.query_maps(references.images.take(batch))), references.alpha(batch)
            )
        )

    @torch.no_grad()
    def after_training(self, network: Reconstructor, references: Tiles) -> None:
        """What reconstruction usually does to a feature, if the settings ask for it."""
        if not self.settings.centred:
            return

        def pairs() -> Iterator[tuple[list[Tensor], list[Tensor]]]:
            for batch in references.batches(self.context.scoring_batch):
                tiles, alpha_NHW = references.images.take(batch), references.alpha(batch)
                maps = _choose_compared(self.query_maps(tiles))
                rebuilt = _choose_compared(self.maps(network.images(self.rebuild(network, tiles))))
                yield from zip(
                    _split_counted(maps, alpha_NHW), _split_counted(rebuilt, alpha_NHW), strict=True
                )

        _distance_of(network).centre_on(pairs())

    def loss(
        self, network: Reconstructor, pixels_B3HW: Tensor, images_B3HW: Tensor, alpha_BHW: Tensor | None
    ) -> Tensor:
        """Squared error and perceptual distance."""
        squared = super().loss(network, pixels_B3HW, images_B3HW, alpha_BHW)
        if self.settings.perceptual_weight == 0:
            return squared
        with torch.no_grad():
            maps = self.maps(images_B3HW)
        distance_BHW = self._distance(network, pixels_B3HW, maps)
        return squared + self.settings.perceptual_weight * mean_counted(distance_BHW[:, None], alpha_BHW)

    def error_maps(self, network: Reconstructor, pixels_N3HW: Tensor, tiles: ImageSet) -> Tensor:
        """Perceptual distance, at least 0."""
        return self._distance(network, pixels_N3HW, self.query_maps(tiles))

    def _distance(self, network: Reconstructor, pixels_N3HW: Tensor, maps: Mapping[int, Tensor]) -> Tensor:
        rebuilt = self.maps(network.images(pixels_N3HW))
        distance: Tensor = _distance_of(network)(
            _choose_compared(maps), _choose_compared(rebuilt), pixels_N3HW.shape[-2:]
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


def _split_counted(maps: Sequence[Tensor], alpha_NHW: Tensor | None) -> Iterator[list[Tensor]]:
    """Maps (N, C_i, h_i, w_i) as they are, or of each tile the cells that count, (1, C_i, K_i, 1)."""
    if alpha_NHW is None:
        yield list(maps)
        return
    counted = [count_cells(alpha_NHW.to(level.device), level.shape[-2:]) for level in maps]
    for row in range(len(alpha_NHW)):
        yield [
            level[row][:, cells[row]][None, :, :, None] for level, cells in zip(maps, counted, strict=True)
        ]
