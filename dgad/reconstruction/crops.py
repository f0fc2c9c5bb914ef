"""Crops: the patches of a texture are many, also where its photographs are few."""

# N images, S pixels a side

import torch
from torch import Tensor


def random_crops(images_N3SS: Tensor, size_px: int, generator: torch.Generator) -> Tensor:
    """Of each image a square of `size_px`, or of the image's size if that is less, at a random place."""
    side = images_N3SS.shape[-1]
    size = min(size_px, side)
    corners = torch.randint(side - size + 1, (len(images_N3SS), 2), generator=generator).tolist()
    crops = [image[:, y : y + size, x : x + size] for image, (y, x) in zip(images_N3SS, corners, strict=True)]
    return torch.stack(crops)
