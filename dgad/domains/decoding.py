"""Encoded bytes to pixels, bounded in bytes and pixels, for images nobody vouches for."""

# H x W pixels of the file

import dataclasses
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from dgad.domains.headers import check_structure
from dgad.domains.headers.tiff_pages import count_pages
from dgad.domains.stored_png import stored_png
from dgad.domains.wide_values import (
    WideRange,
    WideType,
    colour_range,
    colour_to_8_bits,
    grey_to_8_bits,
    set_low_bytes,
    wide_type,
)
from dgad.errors import ImageError
from dgad.settings import require

EXTENSIONS: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
"""What counts as an image, in any case."""

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF")
_MAX_SIDE_PX = 1_000_000
"""Resizing a longer side takes a weight for each of its pixels, and those gigabytes."""
# What Pillow's decoders raise on damaged files, gathered by flipping bytes in files of each format.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DecodeLimits:
    """How large an image file may be before it is refused unread."""

    max_bytes: int = 64 * 2**20
    """Encoded size, 1 or more."""
    max_pixels: int = 64 * 2**20
    """Width times height; at most what Pillow itself still opens (178 million)."""
    was_accepted_before: bool = False
    """If an earlier version took the file: its structure passes, and of several pages it gives the first."""

    def __post_init__(self) -> None:
        require(self.max_bytes >= 1, "max_bytes", "1 or more", self.max_bytes)
        pillow_max = 2 * (Image.MAX_IMAGE_PIXELS or 2**27)
        require(1 <= self.max_pixels <= pillow_max, "max_pixels", f"1 to {pillow_max}", self.max_pixels)


DEFAULT_LIMITS = DecodeLimits()


def is_image_name(name: str) -> bool:
    """Whether a file name is one we read; hidden files (`._001.png`) are not."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def read_file(path: str, max_bytes: int = DEFAULT_LIMITS.max_bytes) -> bytes:
    """The bytes of a file, refused before reading when it is larger than `max_bytes`."""
    try:
        size = os.path.getsize(path)
        if size > max_bytes:
            raise ImageError(_too_many_bytes(path, size, max_bytes))
        return Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(f"{path} cannot be read ({reason}); check that it exists and is readable.") from None


class DamagedImageError(ImageError):
    """A file that its decoder gives up; it does so, too, where memory has run out and it cannot say so."""


class OutOfMemoryError(ImageError):
    """A file that takes more memory to decode than there is."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DecodedImage:
    """An upright image of 8-bit RGB, with what its file held where that was wider."""

    image: Image.Image
    wide: WideRange | None
    """How much of its range is used; None for a file with 8 bits a channel or fewer."""


def decode_image(
    data: bytes, path: str, limits: DecodeLimits = DEFAULT_LIMITS, *, bit_depth: int | None = None
) -> Image.Image:
    """The image of `decode_with_range` alone."""
    return decode_with_range(data, path, limits, bit_depth=bit_depth).image


def decode_with_range(
    data: bytes, path: str, limits: DecodeLimits = DEFAULT_LIMITS, *, bit_depth: int | None = None
) -> DecodedImage:
    """One image as upright 8-bit RGB; `ImageError` names `path` and what to do.

    Values of more than 8 bits are scaled by their type's full range or, where `bit_depth` is given, by its
    own; floats without one are taken as 0 to 1. Alpha is dropped.
    """
    image = _open(data, path, limits, is_to_be_read=True)
    of_type = wide_type(image)
    if of_type is None or not of_type.is_colour or bit_depth is None:
        return upright_rgb(image, path, of_type, bit_depth=bit_depth)
    low = _open(data, path, limits, is_to_be_read=True)
    set_low_bytes(low, path)
    both = [upright_rgb(half, path, None).image for half in (image, low)]
    found, wide = colour_to_8_bits(both[0], both[1], path, bit_depth)
    return DecodedImage(image=found, wide=wide)


def upright_rgb(
    image: Image.Image, path: str, of_type: WideType | None, *, bit_depth: int | None = None
) -> DecodedImage:
    """An opened image as `decode_with_range` gives it; `image` itself is turned in place, and may be closed.

    `of_type` is what `wide_type` says of it before its pixels are decoded.
    """
    try:
        ImageOps.exif_transpose(image, in_place=True)
        if of_type is None:
            return DecodedImage(image=_to_rgb(image), wide=None)
        if of_type.is_colour:
            rgb = _to_rgb(image)
            return DecodedImage(image=rgb, wide=colour_range(rgb))
        grey, wide = grey_to_8_bits(image, of_type, path, bit_depth)
        image.close()  # frees its pixels: an RGB image takes twice as much again
        return DecodedImage(image=grey.convert("RGB"), wide=wide)
    except _DECODER_ERRORS as error:
        raise _damaged(path, error) from None


def decode_mask(data: bytes, path: str, limits: DecodeLimits = DEFAULT_LIMITS) -> npt.NDArray[np.bool_]:
    """Defect pixels, bool (H, W): those that are not black (in a JPEG: brighter than half)."""
    return decode_mask_values(data, path, limits).marked


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MaskValues:
    """A mask as its file holds it."""

    pixels: npt.NDArray[Any]
    """Values of the file, shape (H, W) or (H, W, channels)."""
    is_jpeg: bool

    @property
    def marked(self) -> npt.NDArray[np.bool_]:
        """Defect pixels, shape (H, W)."""
        per_channel = self.pixels.reshape(*self.pixels.shape[:2], -1)
        return np.asarray((per_channel > (127 if self.is_jpeg else 0)).any(axis=2), dtype=np.bool_)


def decode_mask_values(data: bytes, path: str, limits: DecodeLimits = DEFAULT_LIMITS) -> MaskValues:
    """A mask's own values, before they are taken for defect or none."""
    image = _open(data, path, limits, is_to_be_read=True)
    is_jpeg = image.format == "JPEG"
    try:
        ImageOps.exif_transpose(image, in_place=True)
        upright: Image.Image = image
        if image.mode in ("LA", "La"):
            upright = image.convert("L")
        elif image.mode not in ("1", "L") and not image.mode.startswith(("I", "F")):
            upright = _to_rgb(image)
        return MaskValues(pixels=np.asarray(upright), is_jpeg=is_jpeg)
    except _DECODER_ERRORS as error:
        raise _damaged(path, error) from None


def image_size(data: bytes, path: str, limits: DecodeLimits = DEFAULT_LIMITS) -> tuple[int, int]:
    """Height and width of the upright image, from its header alone."""
    image = _open(data, path, limits)
    try:
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except _DECODER_ERRORS as error:
        raise _damaged(path, error) from None
    return (image.width, image.height) if turned else (image.height, image.width)


def _open(data: bytes, path: str, limits: DecodeLimits, *, is_to_be_read: bool = False) -> Image.Image:
    """The image with its header read and its bounds checked, its pixels still encoded."""
    if len(data) > limits.max_bytes:
        raise ImageError(_too_many_bytes(path, len(data), limits.max_bytes))
    if not data:
        raise ImageError(f"{path} is empty; copy it again or remove it.")
    if is_to_be_read:
        if not limits.was_accepted_before:
            check_structure(data, path)
        data = stored_png(data, limits.max_pixels)
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError:
        raise ImageError(
            f"{path} is not a JPEG, PNG, BMP or TIFF image, whatever its name says; convert or remove it."
        ) from None
    except _DECODER_ERRORS as error:
        raise _damaged(path, error) from None
    if image.width * image.height > limits.max_pixels:
        raise ImageError(
            f"{path} has {image.width} x {image.height} pixels, more than the {limits.max_pixels:,} allowed;"
            " crop or shrink it."
        )
    if max(image.size) > _MAX_SIDE_PX and not limits.was_accepted_before:
        raise ImageError(
            f"{path} has {image.width} x {image.height} pixels, where a side may have {_MAX_SIDE_PX:,};"
            " cut it into parts."
        )
    if image.width * image.height == 0:
        raise ImageError(f"{path} has no pixels; remove it.")
    if not limits.was_accepted_before:
        _check_is_one_page(image, data, path)
    return image


def _check_is_one_page(image: Image.Image, data: bytes, path: str) -> None:
    """Refuse a TIFF of several pages and an animated PNG; the second picture of an MPO is a phone's extra."""
    num_pages = count_pages(data) if image.format == "TIFF" else 1
    if image.format == "PNG" and getattr(image, "is_animated", False):
        num_pages = getattr(image, "n_frames", 2)
    if num_pages > 1:
        raise ImageError(
            f"{path} has {num_pages} pages, but one image a file is read; save each page as its own file."
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB without alpha; a palette may hold transparency of its own, so it goes by RGBA."""
    if image.mode in ("P", "PA", "La", "RGBa"):
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def _too_many_bytes(path: str, size: int, allowed: int) -> str:
    return f"{path} has {size:,} bytes, more than the {allowed:,} allowed; crop it or save it compressed."


def _damaged(path: str, error: Exception) -> ImageError:
    if isinstance(error, MemoryError):
        return OutOfMemoryError(f"{path} takes more memory to decode than there is; crop or shrink it.")
    reason = str(error) or type(error).__name__
    return DamagedImageError(f"{path} is damaged ({reason}); copy it again or remove it.")
