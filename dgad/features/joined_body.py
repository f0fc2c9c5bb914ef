"""Two networks that look at the same images, as one that gives the levels of both."""

# N images, C_i channels of level i, h_i w_i its size

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A network that gives a list of maps, and what it wants."""

    body: nn.Module
    channels: tuple[int, ...]
    """Of each level."""
    mean: tuple[float, ...]
    """What it wants subtracted from images of 0 to 1, by colour."""
    std: tuple[float, ...]
    """And divided by."""
    gives_channels_last: bool
    """Maps are (N, h, w, C), as Swin and its kin give them."""


def read_part(body: Any, strides: Sequence[int]) -> Part:
    """What timm says of a network with levels of these strides, or with the tokens of one block."""
    if hasattr(body, "feature_info"):
        info = body.feature_info
        by_stride = dict(zip(info.reduction(), info.channels(), strict=True))
        channels = tuple(by_stride[s] for s in strides)
    else:
        channels = (body.channels,)
    config = body.pretrained_cfg
    return Part(
        body=body,
        channels=channels,
        mean=tuple(config.get("mean", (0.5,) * 3)),
        std=tuple(config.get("std", (0.5,) * 3)),
        gives_channels_last="NHWC" in str(getattr(body, "output_fmt", "")),
    )


class JoinedBody(nn.Module):
    """The levels of all parts, one part after the other; images are normalised as the first one wants."""

    def __init__(self, parts: Sequence[Part]) -> None:
        super().__init__()
        self.bodies = nn.ModuleList([part.body for part in parts])
        self.inputs = nn.ModuleList([_Renormalise(parts[0], part) for part in parts])
        self._channels_last = [part.gives_channels_last for part in parts]

    def forward(self, pixels_N3HW: Tensor) -> list[Tensor]:
        """The maps of every part, channels second."""
        maps: list[Tensor] = []
        for body, own, is_last in zip(self.bodies, self.inputs, self._channels_last, strict=True):
            levels = body(own(pixels_N3HW))
            maps += [level.permute(0, 3, 1, 2) for level in levels] if is_last else levels
        return maps


class _Renormalise(nn.Module):
    """From images as one network wants them to images as another does."""

    scale: Tensor
    shift: Tensor

    def __init__(self, given: Part, wanted: Part) -> None:
        super().__init__()
        mean, std, own_mean, own_std = (
            torch.tensor(values).view(1, 3, 1, 1)
            for values in (given.mean, given.std, wanted.mean, wanted.std)
        )
        # With the weights, so that what is frozen, copied or bundled has them.
        self.register_buffer("scale", std / own_std)
        self.register_buffer("shift", (mean - own_mean) / own_std)

    def forward(self, pixels_N3HW: Tensor) -> Tensor:
        return pixels_N3HW * self.scale + self.shift
