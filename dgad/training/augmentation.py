"""How training images are varied: alike for every method."""

# N images, H x W pixels of each

import torch
from torch import Tensor


def random_flips(pixels_N3HW: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left-right and top-bottom with probability one half each."""
    return flip(pixels_N3HW, draw_flips(len(pixels_N3HW), generator))


def draw_flips(count: int, generator: torch.Generator) -> Tensor:
    """Which of so many images are mirrored left-right and which top-bottom, bool (2, N)."""
    return torch.rand(2, count, generator=generator) < 0.5


def flip(pixels_N3HW: Tensor, draw_2N: Tensor) -> Tensor:
    """Images mirrored as drawn."""
    for mirrored, axis in zip(draw_2N, (2, 3), strict=True):
        flipped = pixels_N3HW.flip(axis)
        pixels_N3HW = torch.where(mirrored.view(-1, 1, 1, 1), flipped, pixels_N3HW)
    return pixels_N3HW
