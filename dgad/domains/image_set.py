"""Decoded images as every method takes them."""

# N images, S pixels a side

import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from dgad.errors import DataError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ImageSet:
    """Images as methods take them."""

    images: Tensor
    """uint8 RGB, shape (N, 3, S, S)."""
    keys: tuple[str, ...] = ()
    """A content id per image, so that frozen features can be kept; empty: never keep them."""

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if self.images.dtype != torch.uint8 or len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3]:
            raise DataError(
                f"Images must be a uint8 tensor of shape (N, 3, S, S), but got {self.images.dtype} {shape}."
            )
        if self.keys and len(self.keys) != shape[0]:
            raise DataError(f"There must be one key per image: {shape[0]} images, {len(self.keys)} keys.")

    def __len__(self) -> int:
        return int(self.images.shape[0])

    def take(self, indices: Sequence[int]) -> "ImageSet":
        """The images at `indices`, in that order."""
        index = torch.as_tensor(list(indices), dtype=torch.long)
        keys = tuple(self.keys[i] for i in indices) if self.keys else ()
        return ImageSet(images=self.images[index], keys=keys)

    def batches(self, size: int) -> Iterator["ImageSet"]:
        """The images in their order, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self.take(range(start, min(start + size, len(self))))
