"""Samples and files as the arrays that methods take: scaled images with content keys, and masks."""

# N samples, H x W pixels of a file, h x w cells of a score map

import functools
import hashlib
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dgad.domains.base import EncodedImage, Sample
from dgad.domains.decoding import (
    DEFAULT_LIMITS,
    DecodeLimits,
    decode_image,
    decode_mask,
    decode_with_range,
    read_file,
)
from dgad.domains.domain_file import declaring
from dgad.domains.geometry import Geometry, map_size
from dgad.domains.image_paths import expand_image_paths
from dgad.domains.image_set import ImagesByIndex, ImageSet
from dgad.domains.wide_values import NarrowRangeWarning, WideRange, find_narrow_range
from dgad.errors import DataError

__all__ = [
    "DecodeLimits",
    "content_key",
    "decode_image",
    "expand_image_paths",
    "load_image_files",
    "load_images",
    "load_masks",
]

_Mask = npt.NDArray[np.bool_]
_KEPT_BYTES = 2**30
"""Of scaled pixels of one set of images that are held together; what is beyond is decoded when asked for."""


def load_images(
    samples: Sequence[Sample], geometry: Geometry, *, limits: DecodeLimits = DEFAULT_LIMITS
) -> ImageSet:
    """Images of the samples, uint8 RGB (3, H_i, W_i) each, at the geometry's or their domain's own scale.

    Every one is decoded once, so that what is wrong is told at once; beyond 1 GiB they are decoded again
    when they are asked for. Issues a `NarrowRangeWarning` for a domain whose wide images are all read as
    nearly black.
    """
    images, ranges = _load([s.image for s in samples], geometry, limits)
    for domain in dict.fromkeys(s.domain for s in samples):
        narrow = find_narrow_range(r for s, r in zip(samples, ranges, strict=True) if s.domain == domain)
        if narrow is not None:
            found = narrow.describe(declaring)
            warnings.warn(f"Domain {domain} has {found}.", NarrowRangeWarning, stacklevel=2)
    return images


def load_image_files(
    paths: Sequence[str], geometry: Geometry, *, limits: DecodeLimits = DEFAULT_LIMITS
) -> ImageSet:
    """The same for plain files."""
    return load_encoded([_file(p, limits) for p in paths], geometry, limits=limits)


def load_encoded(
    files: Sequence[EncodedImage], geometry: Geometry, *, limits: DecodeLimits = DEFAULT_LIMITS
) -> ImageSet:
    """Decode and scale one at a time: only scaled images are ever held together."""
    return _load(files, geometry, limits)[0]


def content_key(content_id: str, geometry: Geometry, bit_depth: int | None) -> str:
    """What decides the pixels that methods see: the file's SHA-256, their scale and a declared bit depth."""
    declared = "" if bit_depth is None else f"-{bit_depth}bit"
    return f"{content_id}-{geometry.key}{declared}"


class RereadImages(ImagesByIndex):
    """Scaled images, up to 1 GiB of the first of them kept and the others decoded when they are asked for."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []
        self._kept: dict[int, Tensor] = {}
        self._decoders: list[Callable[[], Tensor]] = []
        self._room = _KEPT_BYTES

    def add(self, decode: Callable[[], Tensor], image_3HW: Tensor) -> None:
        """Take the next image, as it was decoded to look at it, and what decodes it again."""
        self.sizes.append((int(image_3HW.shape[1]), int(image_3HW.shape[2])))
        self._decoders.append(decode)
        if image_3HW.numel() <= self._room:
            self._room -= image_3HW.numel()
            self._kept[len(self.sizes) - 1] = image_3HW

    def all_or_lazy(self) -> Sequence[Tensor]:
        """The images as a list where none has to be decoded again."""
        return list(self) if len(self._kept) == len(self.sizes) else self

    def __len__(self) -> int:
        return len(self.sizes)

    def make(self, index: int) -> Tensor:
        """The image as it was kept, or decoded once more."""
        return self._kept[index] if index in self._kept else self._decoders[index]()


def _load(
    files: Sequence[EncodedImage], geometry: Geometry, limits: DecodeLimits
) -> tuple[ImageSet, list[WideRange | None]]:
    images = RereadImages()
    keys, ranges = [], []
    for file in files:
        data = file.read()
        decoded = decode_with_range(data, file.path, limits, bit_depth=file.bit_depth)
        if file.region is not None:
            try:
                file.region.check_fits(decoded.image.height, decoded.image.width)
            except DataError as error:
                raise DataError(f"{file.path}: {error}") from None
        own = geometry.with_scale(file.scale)
        images.add(
            functools.partial(_decode_again, file, own, limits), torch.from_numpy(own.resize(decoded.image))
        )
        keys.append(content_key(hashlib.sha256(data).hexdigest(), own, file.bit_depth))
        ranges.append(decoded.wide)
    regions = tuple(f.region for f in files) if any(f.region is not None for f in files) else ()
    return ImageSet(images=images.all_or_lazy(), keys=tuple(keys), regions=regions), ranges


def _decode_again(file: EncodedImage, geometry: Geometry, limits: DecodeLimits) -> Tensor:
    decoded = decode_with_range(file.read(), file.path, limits, bit_depth=file.bit_depth)
    return torch.from_numpy(geometry.resize(decoded.image))


def load_masks(
    samples: Sequence[Sample],
    sizes: Sequence[tuple[int, int]],
    *,
    limits: DecodeLimits = DEFAULT_LIMITS,
) -> tuple[_Mask | None, ...]:
    """Defect cells, bool on each image's `map_size` grid; None where only the label is known.

    `sizes` are those of the scaled images. Zeros for a normal sample. An abnormal sample whose mask marks
    nothing counts as one without a mask.
    """
    masks: list[_Mask | None] = []
    for sample, size in zip(samples, sizes, strict=True):
        grid = map_size(*size)
        if sample.label == 0:
            masks.append(np.zeros(grid, dtype=np.bool_))
        elif sample.mask is None:
            masks.append(None)
        else:
            mask = decode_mask(sample.mask.read(), sample.mask.path, limits)
            masks.append(resize_mask(mask, grid) if mask.any() else None)
    return tuple(masks)


def resize_mask(mask: _Mask, grid: tuple[int, int]) -> _Mask:
    """Bool (H, W) to (h, w): shrinking marks every cell a defect touches, so a hairline survives."""
    return _resize_rows(_resize_rows(mask, grid[0]).T, grid[1]).T


def _file(path: str, limits: DecodeLimits) -> EncodedImage:
    return EncodedImage(path=path, read=lambda: read_file(path, limits.max_bytes))


def _resize_rows(mask: _Mask, size: int) -> _Mask:
    """Rows of a bool array to `size` rows: any-overlap when shrinking, nearest when enlarging."""
    height = mask.shape[0]
    cells = np.arange(size)
    if height <= size:
        return np.asarray(mask[(2 * cells + 1) * height // (2 * size)], dtype=np.bool_)
    starts = cells * height // size
    ends = -(-(cells + 1) * height // size)
    marked_before = np.zeros((height + 1, mask.shape[1]), dtype=np.int64)
    np.cumsum(mask, axis=0, out=marked_before[1:])
    return np.asarray(marked_before[ends] > marked_before[starts], dtype=np.bool_)
