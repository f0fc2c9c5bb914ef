"""Decoded images as every method takes them: of any sizes, already at the scale they are looked at."""

# N images, H_i x W_i pixels of image i

import abc
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol, overload, runtime_checkable

import torch
from torch import Tensor

from dgad.domains.region import RegionOfInterest
from dgad.errors import DataError


@runtime_checkable
class LazyImages(Protocol):
    """Images that may be decoded again each time they are asked for, with sizes that are known before."""

    @property
    def sizes(self) -> Sequence[tuple[int, int]]:
        """(H_i, W_i) of every image, without decoding it."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Tensor: ...


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ImageSet:
    """Images as methods take them."""

    images: Sequence[Tensor]
    """uint8 RGB, shape (3, H_i, W_i) each; given as one tensor (N, 3, H, W) too."""
    keys: tuple[str, ...] = ()
    """A content id per image, so that frozen features can be kept; empty: never keep them."""
    regions: tuple[RegionOfInterest | None, ...] = ()
    """What of each image is scored or enrolled, None: all of it; empty: all of all."""

    def __post_init__(self) -> None:
        if isinstance(self.images, Tensor):
            shape = tuple(self.images.shape)
            if self.images.dtype != torch.uint8 or len(shape) != 4 or shape[1] != 3:
                raise DataError(
                    "Images must be a uint8 tensor of shape (N, 3, H, W), but got"
                    f" {self.images.dtype} {shape}."
                )
            object.__setattr__(self, "images", self.images.unbind(0))
        elif not isinstance(self.images, LazyImages):
            object.__setattr__(self, "images", tuple(self.images))
            for image in self.images:
                if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
                    raise DataError(
                        f"An image must be a uint8 tensor of shape (3, H, W), but got {image.dtype}"
                        f" {tuple(image.shape)}."
                    )
        if self.keys and len(self.keys) != len(self):
            raise DataError(f"There must be one key per image: {len(self)} images, {len(self.keys)} keys.")
        if self.regions and len(self.regions) != len(self):
            raise DataError(
                f"There must be one region per image: {len(self)} images, {len(self.regions)} regions."
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(H_i, W_i) of every image."""
        if isinstance(self.images, LazyImages):
            return tuple(self.images.sizes)
        return tuple((int(image.shape[1]), int(image.shape[2])) for image in self.images)

    def region(self, index: int) -> RegionOfInterest | None:
        """What of the image counts; None: all of it."""
        return self.regions[index] if self.regions else None

    def stack(self) -> Tensor:
        """All images in one tensor (N, 3, H, W); `DataError` where their sizes differ."""
        sizes = set(self.sizes)
        if len(sizes) > 1:
            told = ", ".join(f"{w} x {h}" for h, w in sorted(sizes)[:3])
            raise DataError(f"These images have different sizes ({told}, ...) and cannot be stacked.")
        if not len(self):
            return torch.zeros((0, 3, 1, 1), dtype=torch.uint8)
        return torch.stack(list(self.images))

    def take(self, indices: Sequence[int]) -> "ImageSet":
        """The images at `indices`, in that order."""
        order = [int(i) for i in indices]
        return ImageSet(
            images=_Taken(self.images, order)
            if isinstance(self.images, LazyImages)
            else tuple(self.images[i] for i in order),
            keys=tuple(self.keys[i] for i in order) if self.keys else (),
            regions=tuple(self.regions[i] for i in order) if self.regions else (),
        )

    def batches(self, size: int) -> Iterator["ImageSet"]:
        """The images in their order, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self.take(range(start, min(start + size, len(self))))

    def without_keys(self) -> "ImageSet":
        """The same images, of which no features are kept."""
        return dataclasses.replace(self, keys=())


class ImagesByIndex(Sequence[Tensor]):
    """Images of which a class says how one is made, by an index from 0; of a slice all are made."""

    @abc.abstractmethod
    def make(self, index: int) -> Tensor:
        """Make the image uint8 (3, H_i, W_i)."""

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | Sequence[Tensor]:
        chosen = range(len(self))[index]
        return self.make(chosen) if isinstance(chosen, int) else [self.make(i) for i in chosen]


class _Taken(ImagesByIndex):
    """Some of lazily decoded images, as lazy as they are."""

    def __init__(self, images: LazyImages, indices: Sequence[int]) -> None:
        self.indices: list[int]
        self.images: LazyImages = images.images if isinstance(images, _Taken) else images
        self.indices = [images.indices[i] for i in indices] if isinstance(images, _Taken) else list(indices)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        known = self.images.sizes
        return tuple(known[i] for i in self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def make(self, index: int) -> Tensor:
        """The image as the others' own class makes it."""
        return self.images[self.indices[index]]
