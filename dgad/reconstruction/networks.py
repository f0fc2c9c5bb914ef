"""Encoders, decoders and the network that joins them around a bottleneck."""

# N images, S pixels a side, C channels of a latent, h = w = S / stride, Q = N h w

import math
from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

from dgad.reconstruction.memory import Bottleneck

_CONV_WIDTHS = (96, 128, 256, 256)
"""Channels after each halving: MemAE's, in two dimensions."""
_SLOPE = 0.2


def _stage_widths(stride: int) -> tuple[int, ...]:
    """Channels of the stages that reach a stride of 2, 4, 8 or 16 px, finest first."""
    return _CONV_WIDTHS[: round(math.log2(stride))]


class ConvEncoder(nn.Sequential):
    """Standardised pixels (N, 3, S, S) to (N, channels, h, w), halving by strided convolutions."""

    def __init__(self, stride: int) -> None:
        widths = (3, *_stage_widths(stride))
        layers: list[nn.Module] = []
        for fine, coarse in pairwise(widths):
            layers += [
                nn.Conv2d(fine, coarse, kernel_size=3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(coarse),
                nn.LeakyReLU(_SLOPE),
            ]
        super().__init__(*layers)
        self.channels = widths[-1]


class Decoder(nn.Sequential):
    """Latents (N, C, h, w) to standardised pixels (N, 3, S, S), the encoder's widths in reverse."""

    def __init__(self, width: int, stride: int) -> None:
        widths = (width, *reversed(_stage_widths(stride)[:-1]))
        layers: list[nn.Module] = []
        # A kernel of twice the stride covers every pixel equally often: no checkerboard.
        for coarse, fine in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(coarse, fine, kernel_size=4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(fine),
                nn.LeakyReLU(_SLOPE),
            ]
        layers.append(nn.ConvTranspose2d(widths[-1], 3, kernel_size=4, stride=2, padding=1))
        super().__init__(*layers)


class Reconstructor(nn.Module):
    """Encoder, latents of variance 1, bottleneck, decoder.

    `in_channels` are those of the frozen backbone map that it is given; None: it is given pixels and has
    an encoder of its own. Pixels are standardised by the references it was trained on: per channel their
    mean, over one deviation.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, bottleneck: Bottleneck, *, in_channels: int | None, width: int, stride: int) -> None:
        super().__init__()
        self.encoder: nn.Module = nn.Identity()
        if in_channels is None:
            self.encoder = ConvEncoder(stride)
            in_channels = _stage_widths(stride)[-1]
        # Without a scale of its own, so that distances to slots mean the same whatever was learnt.
        self.latent = nn.Sequential(
            nn.Conv2d(in_channels, width, kernel_size=1, bias=False), nn.BatchNorm2d(width, affine=False)
        )
        self.bottleneck = bottleneck
        self.decoder = Decoder(width, stride)
        self.register_buffer("mean", torch.zeros(1, 3, 1, 1))
        self.register_buffer("std", torch.ones(()))

    def standardise_by(self, references: Iterable[Tensor]) -> None:
        """Take mean and deviation from these uint8 images (3, h, w), gone through twice."""
        # One image at a time: as floats, all of them would be four times as large.
        mean_R3 = torch.stack([image.float().mean((1, 2)) for image in references])
        self.mean.copy_(mean_R3.mean(0).view(1, 3, 1, 1))
        squares = [(image.to(self.mean) - self.mean[0]).square().mean() for image in references]
        # At least one grey value: a blank reference has no deviation.
        self.std.copy_(torch.stack(squares).mean().sqrt().clamp_min(1.0))

    def standardise(self, images_N3SS: Tensor) -> Tensor:
        """uint8 images as float32 of mean 0 and deviation 1 over the references."""
        return (images_N3SS.to(self.mean) - self.mean) / self.std

    def images(self, pixels_N3SS: Tensor) -> Tensor:
        """The inverse of `standardised`, float32 in 0 to 255."""
        return (pixels_N3SS * self.std + self.mean).clamp(0.0, 255.0)

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised pixels (N, 3, S, S) from pixels or a backbone map, and the bottleneck's loss."""
        latent_NChw = self.latent(self.encoder(seen))
        read_QC, loss = self.bottleneck(latent_NChw.movedim(1, 3).flatten(0, 2))
        grid = (latent_NChw.shape[0], *latent_NChw.shape[2:], latent_NChw.shape[1])
        return self.decoder(read_QC.view(grid).movedim(3, 1)), loss
