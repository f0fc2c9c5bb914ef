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

from dgad.domains.stored_png import stored_png
from dgad.errors import ImageError
from dgad.settings import require

EXTENSIONS: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
"""What counts as an image, in any case."""

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF")
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


def decode_image(data: bytes, path: str, limits: DecodeLimits = DEFAULT_LIMITS) -> Image.Image:
    """One image as upright 8-bit RGB; `ImageError` names `path` and what to do.

    Grey of 16 or 32 bits is scaled by its type's full range, floats are taken as 0 to 1; alpha is dropped.
    """
    return upright_rgb(_open(data, path, limits, is_to_be_read=True), path)


def upright_rgb(image: Image.Image, path: str) -> Image.Image:
    """An opened image as upright 8-bit RGB, as `decode_image` gives it; `image` itself is turned in place."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith(("I", "F")):
            return Image.fromarray(_wide_grey_to_uint8(image, path)).convert("RGB")
        return _to_rgb(image)
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
    if image.width * image.height == 0:
        raise ImageError(f"{path} has no pixels; remove it.")
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB without alpha; a palette may hold transparency of its own, so it goes by RGBA."""
    if image.mode in ("P", "PA", "La", "RGBa"):
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def _wide_grey_to_uint8(image: Image.Image, path: str) -> npt.NDArray[np.uint8]:
    """Grey of mode I;16*, I or F as uint8 (H, W), by the full range of its type, never by its content."""
    # Pillow reads a 16-bit PNG as mode I in some versions, where it still means 0 to 65535.
    is_16_bit = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")
    values = np.asarray(image).astype(np.float64)
    if image.mode == "F":
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise ImageError(
                f"{path} holds floating-point values outside 0 to 1, so its white is unknown;"
                " save it with 8 or 16 bits."
            )
        full_range = 1.0
    else:
        full_range = 65535.0 if is_16_bit else float(2**31 - 1)
    return np.clip(np.rint(values * (255.0 / full_range)), 0, 255).astype(np.uint8)


def _too_many_bytes(path: str, size: int, allowed: int) -> str:
    return f"{path} has {size:,} bytes, more than the {allowed:,} allowed; crop it or save it compressed."


def _damaged(path: str, error: Exception) -> ImageError:
    reason = str(error) or type(error).__name__
    return ImageError(f"{path} is damaged ({reason}); copy it again or remove it.")
