"""How far two images are apart as a frozen backbone sees them."""

# N tiles, R of references, H x W pixels, C_i channels of level i, h_i w_i its grid

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PerceptualDistance(nn.Module):
    """Squared difference of feature maps, in units of what the references vary by.

    Per level the mean over channels, divided by the variance of the references' features (one number a
    level, so that every level weighs alike), brought to the image's size; then the mean over levels. After
    `centre_on`, less what reconstruction usually does to a channel: a blurred texture lacks features
    everywhere, and a smooth defect would otherwise seem reconstructed better than its surroundings.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        for i, width in enumerate(channels):
            self.register_buffer(f"scale{i}", torch.ones(()))
            self.register_buffer(f"usual{i}", torch.zeros(width, 1, 1))

    def scale_by(self, batches: Iterable[Sequence[Tensor]]) -> None:
        """Take the unit of every level from batches of the references' maps (R, C_i, h_i, w_i)."""
        moments = [
            [(m.double().mean((2, 3)), m.double().square().mean((1, 2, 3))) for m in b] for b in batches
        ]
        for i, level in enumerate(zip(*moments, strict=True)):
            mean_RC, square_R = (torch.cat(column) for column in zip(*level, strict=True))
            variance = square_R.mean() - mean_RC.mean(0).square().mean()
            # A blank reference seen by a backbone without borders has no variance at all.
            self.get_buffer(f"scale{i}").copy_(variance.clamp_min(1e-12))

    def centre_on(self, batches: Iterable[tuple[Sequence[Tensor], Sequence[Tensor]]]) -> None:
        """Take what is usual from batches of the references' maps and those of their reconstructions."""
        differences = [
            [(m - r).mean((2, 3)) for m, r in zip(maps, rebuilt_maps, strict=True)]
            for maps, rebuilt_maps in batches
        ]
        for i, level in enumerate(zip(*differences, strict=True)):
            self.get_buffer(f"usual{i}").copy_(torch.cat(level).mean(0)[:, None, None])

    def forward(self, maps: Sequence[Tensor], rebuilt_maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Distance of every pixel, (N, H, W), at least 0, from maps (N, C_i, h_i, w_i) of both images."""
        levels = []
        for i, (level, rebuilt) in enumerate(zip(maps, rebuilt_maps, strict=True)):
            unusual = level - rebuilt - self.get_buffer(f"usual{i}")
            distance_N1hw = unusual.square().mean(1, keepdim=True) / self.get_buffer(f"scale{i}")
            levels.append(F.interpolate(distance_N1hw, size=tuple(size), mode="bilinear")[:, 0])
        return torch.stack(levels).mean(0)
