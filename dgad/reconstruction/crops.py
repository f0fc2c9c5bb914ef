"""Crops: the patches of a texture are many, also where its photographs are few."""

# N images, C channels, H x W pixels

import torch
from torch import Tensor


def random_crops(images_NCHW: Tensor, size_px: int, generator: torch.Generator) -> Tensor:
    """Of each image a square of `size_px` at a random place; a side that is shorter is taken whole."""
    count, (height, width) = len(images_NCHW), images_NCHW.shape[-2:]
    rows, columns = min(size_px, height), min(size_px, width)
    if height == width:
        corners = torch.randint(height - rows + 1, (count, 2), generator=generator)
    else:
        sides = ((height - rows), (width - columns))
        corners = torch.stack([torch.randint(s + 1, (count,), generator=generator) for s in sides], dim=1)
    crops = [
        image[:, y : y + rows, x : x + columns]
        for image, (y, x) in zip(images_NCHW, corners.tolist(), strict=True)
    ]
    return torch.stack(crops)
