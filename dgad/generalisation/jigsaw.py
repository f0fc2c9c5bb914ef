"""Jigsaw puzzles of 3 × 3 tiles: which permutations there are, drawing them, applying them."""

# N images, H x W pixels, T = 9 pieces of t x u pixels

import functools
import itertools

import numpy as np
import torch
from torch import Tensor

_GRID = 3
_NUM_TILES = _GRID * _GRID
NUM_PERMUTATIONS = 31
"""The identity, which is label 0, and 30 others."""


@functools.cache
def permutations() -> Tensor:
    """int64 (31, 9): entry [label, t] is the tile that comes to place t in the puzzle of that label.

    Starting from the identity, each is the one furthest in Hamming distance from those already chosen (by the
    nearest of them, then by the sum, then the first in lexicographic order), after Noroozi and Favaro 2016.
    No seed: the puzzles are part of the method.
    """
    every = np.array(list(itertools.permutations(range(_NUM_TILES))), dtype=np.int8)
    chosen = [0]
    nearest = np.full(len(every), _NUM_TILES)
    total = np.zeros(len(every), dtype=np.int64)
    while len(chosen) < NUM_PERMUTATIONS:
        distance = (every != every[chosen[-1]]).sum(1)
        nearest, total = np.minimum(nearest, distance), total + distance
        chosen.append(int(np.argmax(nearest * _NUM_TILES * NUM_PERMUTATIONS + total)))
    return torch.from_numpy(every[chosen].astype(np.int64))


def draw_puzzles(count: int, identity_probability: float, generator: torch.Generator) -> Tensor:
    """Labels, int64 (count,): 0 with that probability, else one of 1 to 30, each as likely."""
    others = torch.randint(1, NUM_PERMUTATIONS, (count,), generator=generator)
    return torch.where(torch.rand(count, generator=generator) < identity_probability, 0, others)


def shuffle_tiles(images_N3HW: Tensor, order_NT: Tensor) -> Tensor:
    """Each image with tile `order_NT[n, t]` at the place of tile t, row by row; same shape and type.

    A side that is no multiple of 3 is not cropped or resized, so that every backbone takes puzzles as it
    takes images: the last H mod 3 rows and W mod 3 columns stay where they are.
    """
    count, height, width = len(images_N3HW), images_N3HW.shape[-2] // _GRID, images_N3HW.shape[-1] // _GRID
    used = slice(height * _GRID), slice(width * _GRID)
    grid_NCGtGu = images_N3HW[..., *used].reshape(count, -1, _GRID, height, _GRID, width)
    tiles_NTCtu = grid_NCGtGu.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    rows_N1 = torch.arange(count, device=images_N3HW.device)[:, None]
    moved_NTCtu = tiles_NTCtu[rows_N1, order_NT.to(images_N3HW.device)]
    moved_NGGCtu = moved_NTCtu.reshape(count, _GRID, _GRID, -1, height, width)
    shuffled = images_N3HW.clone()
    shuffled[..., *used] = moved_NGGCtu.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
    return shuffled
