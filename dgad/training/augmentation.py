"""How training images are varied: alike for every method."""

# N images, S pixels a side

import torch
from torch import Tensor


def random_flips(pixels_N3SS: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left-right and top-bottom with probability one half each."""
    draw_2N = torch.rand(2, pixels_N3SS.shape[0], generator=generator) < 0.5
    for mirrored, axis in zip(draw_2N, (2, 3), strict=True):
        flipped = pixels_N3SS.flip(axis)
        pixels_N3SS = torch.where(mirrored.view(-1, 1, 1, 1), flipped, pixels_N3SS)
    return pixels_N3SS
