"""Images as callers have them, files, folders, arrays and PIL images in any mixture, as methods take them."""

# N images, H x W pixels of one, S pixels a side of what methods take

import dataclasses
import functools
import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dgad.domains.decoding import DecodedImage, decode_with_range, read_file, upright_rgb
from dgad.domains.geometry import Geometry
from dgad.domains.image_paths import expand_image_paths
from dgad.domains.image_set import ImageSet
from dgad.domains.images import RereadImages, content_key
from dgad.domains.region import RegionOfInterest
from dgad.domains.wide_values import NarrowRangeWarning, WideRange, find_narrow_range, wide_type
from dgad.errors import DataError, ImageError
from dgad.references.duplicates import fingerprint

ImageLike = str | os.PathLike[str] | NDArray[np.uint8] | Image.Image
"""One image: a file (or a folder of them), an array of shape (H, W, 3) or (H, W), a PIL image."""
Images = ImageLike | Iterable[ImageLike]
"""One or many; an array of shape (N, H, W, 3) is N images."""

_EXPECTED = "a path, a uint8 array of shape (H, W, 3) or (H, W), or a PIL image"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class InputImage:
    """One image that was named or handed over, not yet decoded."""

    name: str
    """Its path, or where it stood among what was handed over: `images[3]`."""
    read: Callable[[], tuple[DecodedImage, str]]
    """The upright RGB image, and the SHA-256 (hex) of the file's bytes or of the pixels."""
    bit_depth: int | None = None
    """Declared for its values where these have more than 8 bits a channel."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DecodedImages:
    """Images decoded and resized, with what only the originals tell."""

    images: ImageSet
    """N images, scaled."""
    ids: tuple[str, ...]
    """64 hex digits each."""
    sizes_px: tuple[tuple[int, int], ...]
    """(width, height) of each original."""
    fingerprints: tuple[bytes, ...]
    """Of each, for finding near duplicates; empty unless asked for."""
    ranges: tuple[WideRange | None, ...]
    """How much each uses of more than 8 bits; None for one that has no more."""

    def describe_narrow_range(self, how: Callable[[int], str], *, are_queries: bool = False) -> str | None:
        """What these images have, where all are read as too dark, as `NarrowRange.describe` tells it."""
        narrow = find_narrow_range(self.ranges, are_queries=are_queries)
        return None if narrow is None else narrow.describe(how)

    def warn_of_narrow_range(self, what: str, *, are_queries: bool = False) -> None:
        """Issue a `NarrowRangeWarning` where they are; `what` the images are called."""
        found = self.describe_narrow_range(
            lambda depth: f"enrol with `bit_depth={depth}`", are_queries=are_queries
        )
        if found:
            warnings.warn(f"The {what} have {found}.", NarrowRangeWarning, stacklevel=3)


def list_inputs(images: Images, what: str, *, bit_depth: int | None = None) -> tuple[InputImage, ...]:
    """Everything that was handed over, folders as the image files in them.

    Args:
        images: One image or many, see `Images`.
        what: What a message calls them: `references` or `images`.
        bit_depth: Of values in images of more than 8 bits a channel; None: their type's full range.

    Raises:
        DataError: There is no such file or folder, or something else was handed over; the message names it.
    """
    if isinstance(images, str | os.PathLike | Image.Image):
        return tuple(_listed(images, what, bit_depth))
    if isinstance(images, np.ndarray) and images.ndim in (2, 3):
        return tuple(_listed(images, what, bit_depth))
    try:
        each = enumerate(images)
    except TypeError:
        raise DataError(
            f"`{what}` must be {_EXPECTED}, or a list of these, but got {type(images).__name__}."
        ) from None
    return tuple(found for index, image in each for found in _listed(image, f"{what}[{index}]", bit_depth))


def decode_inputs(
    inputs: Sequence[InputImage],
    geometry: Geometry,
    *,
    with_fingerprints: bool = False,
    region: RegionOfInterest | None = None,
) -> DecodedImages:
    """Decode and scale images one at a time: only scaled ones are held together, and of those up to 1 GiB.

    What is beyond is decoded again when it is asked for.

    Args:
        inputs: What `list_inputs` found.
        geometry: At what scale they are looked at.
        with_fingerprints: Also make what finds near duplicates.
        region: Outside of it nothing of them counts; None: all of them does.

    Raises:
        ImageError: A file cannot be read or decoded; the message names it.
    """
    images = RereadImages()
    ids, keys, sizes, fingerprints, ranges = [], [], [], [], []
    for given in inputs:
        decoded, content_id = given.read()
        image = decoded.image
        if region is not None:
            _check_region(region, image, given.name)
        images.add(
            functools.partial(_decode_again, given, geometry), torch.from_numpy(geometry.resize(image))
        )
        ids.append(content_id)
        keys.append(content_key(content_id, geometry, given.bit_depth))
        ranges.append(decoded.wide)
        sizes.append(image.size)
        if with_fingerprints:
            fingerprints.append(fingerprint(image))
    return DecodedImages(
        images=ImageSet(
            images=images.all_or_lazy(),
            keys=tuple(keys),
            regions=() if region is None else (region,) * len(images),
        ),
        ids=tuple(ids),
        sizes_px=tuple(sizes),
        fingerprints=tuple(fingerprints),
        ranges=tuple(ranges),
    )


def _decode_again(given: InputImage, geometry: Geometry) -> Tensor:
    return torch.from_numpy(geometry.resize(given.read()[0].image))


def _check_region(region: RegionOfInterest, image: Image.Image, name: str) -> None:
    try:
        region.check_fits(image.height, image.width)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


def _listed(image: object, name: str, bit_depth: int | None) -> list[InputImage]:
    if isinstance(image, str | os.PathLike):
        path = os.fspath(image)
        return [_file(p, bit_depth) for p in expand_image_paths((str(path),))]
    if isinstance(image, Image.Image):
        return [_pil_image(image, name, bit_depth)]
    if isinstance(image, np.ndarray):
        return [_array(image, name)]
    raise DataError(f"`{name}` must be {_EXPECTED}, but got {type(image).__name__}.")


def _file(path: str, bit_depth: int | None) -> InputImage:
    def read() -> tuple[DecodedImage, str]:
        data = read_file(path)
        return decode_with_range(data, path, bit_depth=bit_depth), hashlib.sha256(data).hexdigest()

    return InputImage(name=path, read=read, bit_depth=bit_depth)


def _pil_image(image: Image.Image, name: str, bit_depth: int | None) -> InputImage:
    def read() -> tuple[DecodedImage, str]:
        of_type = wide_type(image)
        if of_type is not None and of_type.is_colour and bit_depth is not None:
            raise ImageError(
                f"`{name}` has 16 bits a channel, of which Pillow keeps the high 8, so a `bit_depth` cannot"
                " be taken; hand the file's path over instead."
            )
        own = image.copy()  # turned upright in place, and the caller's stays as it is
        own.format = image.format  # tells what the numbers of wide grey images mean
        if own.width * own.height == 0:
            raise ImageError(f"`{name}` has no pixels; leave it out.")
        upright = upright_rgb(own, f"`{name}`", of_type, bit_depth=bit_depth)
        return upright, _pixel_id(np.asarray(upright.image))

    return InputImage(name=name, read=read, bit_depth=bit_depth)


def _array(pixels: NDArray[np.uint8], name: str) -> InputImage:
    is_image = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != np.uint8:
        raise DataError(
            f"`{name}` must be a uint8 array (0 to 255), but got {pixels.dtype}: scale it to 0 to 255 and"
            " take `.astype(np.uint8)`."
        )
    if not is_image or pixels.size == 0:
        raise DataError(
            f"`{name}` must be an array of shape (H, W, 3) or (H, W), but got {pixels.shape}"
            f"{_shape_hint(pixels)}."
        )

    def read() -> tuple[DecodedImage, str]:
        image = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
        return DecodedImage(image=image, wide=None), _pixel_id(np.asarray(image))

    return InputImage(name=name, read=read)


def _shape_hint(pixels: NDArray[np.uint8]) -> str:
    if pixels.size == 0:
        return ""
    if pixels.ndim == 3 and pixels.shape[0] == 3:
        return ": take `.transpose(1, 2, 0)`"
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return ": leave alpha out with `[..., :3]`"
    if pixels.ndim == 3:
        return ": hand grey images over as a list"
    return ""


def _pixel_id(pixels: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
