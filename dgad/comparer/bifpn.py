"""Bi-directional feature pyramid with fast normalised fusion (Tan et al., EfficientDet, CVPR 2020).

Departures: no BatchNorm (episodes of a dozen images are too small for batch statistics, and a score
must not depend on its batch), and each node adds its convolution to the fused map instead of replacing
it, so that a pyramid starts as the resampled backbone features, which already compare well.
"""

# N images, C channels of every level, h_i w_i the size of level i

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def fast_normalised_fusion(maps: Sequence[Tensor], weights: Tensor, eps: float = 1e-4) -> Tensor:
    """sum_i relu(w_i) map_i / (eps + sum_i relu(w_i)), all maps of one shape (EfficientDet, section 3.3)."""
    positive = F.relu(weights)
    fused = torch.stack([w * m for w, m in zip(positive, maps, strict=True)]).sum(0)
    return fused / (eps + positive.sum())


class _FusionNode(nn.Module):
    """Fuse `num_inputs` maps (N, C, h, w), then a residual depthwise-separable convolution."""

    def __init__(self, channels: int, num_inputs: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(num_inputs))
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.pointwise.weight)
        assert self.pointwise.bias is not None
        nn.init.zeros_(self.pointwise.bias)

    def forward(self, *maps: Tensor) -> Tensor:
        """Fuse maps (N, C, h, w) of one shape into one, by learnt weights and a separable convolution."""
        fused = fast_normalised_fusion(maps, self.weights)
        convolved: Tensor = self.pointwise(self.depthwise(F.silu(fused)))
        return fused + convolved


class _BiFPNLayer(nn.Module):
    """One top-down and one bottom-up pass over L >= 1 levels, finest first."""

    def __init__(self, channels: int, num_levels: int) -> None:
        super().__init__()
        last = num_levels - 1
        self.top_down = nn.ModuleList(_FusionNode(channels, 2) for _ in range(last))
        # The middle levels also see their own input again; the coarsest has no top-down node.
        self.bottom_up = nn.ModuleList(
            _FusionNode(channels, 3 if i < last else 2) for i in range(1, num_levels)
        )
        self.single = _FusionNode(channels, 1) if num_levels == 1 else None

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Pass maps (N, C, h_i, w_i), the finest first, down and up the pyramid; shapes stay."""
        if self.single is not None:
            return [self.single(maps[0])]
        downs = list(maps)
        for i in reversed(range(len(maps) - 1)):
            upsampled = F.interpolate(downs[i + 1], size=maps[i].shape[-2:], mode="nearest")
            downs[i] = self.top_down[i](maps[i], upsampled)
        outs = [downs[0]]
        for i in range(1, len(maps)):
            pooled = F.adaptive_max_pool2d(outs[i - 1], maps[i].shape[-2:])
            inputs = (maps[i], downs[i], pooled) if i < len(maps) - 1 else (maps[i], pooled)
            outs.append(self.bottom_up[i - 1](*inputs))
        return outs


class BiFPN(nn.Module):
    """Backbone maps (N, C_i, h_i, w_i) to maps (N, C, h_i, w_i): laterals, then `num_layers` layers."""

    def __init__(self, in_channels: Sequence[int], channels: int, num_layers: int) -> None:
        super().__init__()
        self.reach_cells = num_layers * (1 if len(in_channels) == 1 else 3)
        """How far beyond its own square a cell of any level sees at most, in cells of the coarsest level."""
        laterals = [nn.Conv2d(c, channels, 1, bias=False) for c in in_channels]
        # Levels of different widths start with equal weight: a deviation of 1 a channel keeps it.
        gains = [(channels / min(c, channels)) ** 0.5 for c in in_channels]
        # Orthogonal keeps the distances between patches, which is what a comparer starts from. Where there is
        # room, levels go to directions of their own, so that what is fused is still told apart.
        if channels >= sum(in_channels):
            whole = nn.init.orthogonal_(torch.empty(channels, sum(in_channels)))
            starts = torch.split(whole, list(in_channels), dim=1)
        else:
            starts = tuple(nn.init.orthogonal_(torch.empty(channels, c)) for c in in_channels)
        for lateral, start, gain in zip(laterals, starts, gains, strict=True):
            lateral.weight = nn.Parameter(gain * start[:, :, None, None])
        self.laterals = nn.ModuleList(laterals)
        self.layers = nn.ModuleList(_BiFPNLayer(channels, len(in_channels)) for _ in range(num_layers))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Fuse a backbone's maps (N, C_i, h_i, w_i) into as many of `channels` channels, the finest first."""
        pyramid = [lateral(m) for lateral, m in zip(self.laterals, maps, strict=True)]
        for layer in self.layers:
            pyramid = layer(pyramid)
        return pyramid
