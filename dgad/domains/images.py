"""Samples and files as the arrays that methods take: resized images with content keys, and masks."""

# N samples, S pixels a side, H x W pixels of the file

import hashlib
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

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
from dgad.domains.image_paths import expand_image_paths
from dgad.domains.image_set import ImageSet
from dgad.domains.shrinking import shrink
from dgad.domains.wide_values import NarrowRangeWarning, WideRange, find_narrow_range

__all__ = [
    "DecodeLimits",
    "content_key",
    "decode_image",
    "expand_image_paths",
    "load_image_files",
    "load_images",
    "load_masks",
    "shrink",
]

_Mask = npt.NDArray[np.bool_]


def load_images(
    samples: Sequence[Sample], image_size_px: int, *, limits: DecodeLimits = DEFAULT_LIMITS
) -> ImageSet:
    """Images of the samples, uint8 RGB (N, 3, S, S), with a content key each.

    Issues a `NarrowRangeWarning` for a domain whose wide images are all read as nearly black.
    """
    images, ranges = _load([s.image for s in samples], image_size_px, limits)
    for domain in dict.fromkeys(s.domain for s in samples):
        narrow = find_narrow_range(r for s, r in zip(samples, ranges, strict=True) if s.domain == domain)
        if narrow is not None:
            found = narrow.describe(declaring)
            warnings.warn(f"Domain {domain} has {found}.", NarrowRangeWarning, stacklevel=2)
    return images


def load_image_files(
    paths: Sequence[str], image_size_px: int, *, limits: DecodeLimits = DEFAULT_LIMITS
) -> ImageSet:
    """The same for plain files."""
    return load_encoded([_file(p, limits) for p in paths], image_size_px, limits=limits)


def load_encoded(
    files: Sequence[EncodedImage], image_size_px: int, *, limits: DecodeLimits = DEFAULT_LIMITS
) -> ImageSet:
    """Decode and resize one at a time: only the small arrays are ever held together."""
    return _load(files, image_size_px, limits)[0]


def content_key(content_id: str, image_size_px: int, bit_depth: int | None) -> str:
    """What decides the pixels that methods see: the file's SHA-256, their size and a declared bit depth."""
    declared = "" if bit_depth is None else f"-{bit_depth}bit"
    return f"{content_id}-{image_size_px}{declared}"


def _load(
    files: Sequence[EncodedImage], image_size_px: int, limits: DecodeLimits
) -> tuple[ImageSet, list[WideRange | None]]:
    images = np.empty((len(files), 3, image_size_px, image_size_px), dtype=np.uint8)
    keys, ranges = [], []
    for index, file in enumerate(files):
        data = file.read()
        decoded = decode_with_range(data, file.path, limits, bit_depth=file.bit_depth)
        images[index] = shrink(decoded.image, image_size_px)
        keys.append(content_key(hashlib.sha256(data).hexdigest(), image_size_px, file.bit_depth))
        ranges.append(decoded.wide)
    return ImageSet(images=torch.from_numpy(images), keys=tuple(keys)), ranges


def load_masks(
    samples: Sequence[Sample], image_size_px: int, *, limits: DecodeLimits = DEFAULT_LIMITS
) -> tuple[_Mask | None, ...]:
    """Defect pixels, bool (S, S) each; zeros for a normal sample, None where only the label is known.

    An abnormal sample whose mask marks nothing counts as one without a mask.
    """
    masks: list[_Mask | None] = []
    for sample in samples:
        if sample.label == 0:
            masks.append(np.zeros((image_size_px, image_size_px), dtype=np.bool_))
        elif sample.mask is None:
            masks.append(None)
        else:
            mask = decode_mask(sample.mask.read(), sample.mask.path, limits)
            masks.append(_resize_mask(mask, image_size_px) if mask.any() else None)
    return tuple(masks)


def _resize_mask(mask: _Mask, image_size_px: int) -> _Mask:
    """Bool (H, W) to (S, S): shrinking marks every cell a defect touches, so a hairline survives."""
    return _resize_rows(_resize_rows(mask, image_size_px).T, image_size_px).T


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
