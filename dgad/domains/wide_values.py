"""Images of more than 8 bits a channel: how many bits their values have, and how these become 8.

White is the highest value of the file's type or, where a bit depth is declared, that of the depth. It is
never taken from the image's content: two photographs of one part would come out differently.
"""

# H x W pixels of the file, in blocks of whole rows

import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dgad.errors import DataWarning, ImageError
from dgad.settings import require

BIT_DEPTHS = (8, 32)
"""The least and the highest bit depth that may be declared."""
_USUAL_BIT_DEPTHS = (8, 10, 12, 14, 16, 20, 24)
_NEARLY_BLACK = 1 / 16
"""Share of white below which a declared depth, or a float's white, is doubted."""
_BLOCK_PIXELS = 2**20
_BITS_PER_SAMPLE, _SAMPLE_FORMAT, _SIGNED = 258, 339, 2
_OTHER_BYTE = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA", "RGBX")
    for order, other in (("B", "L"), ("L", "B"), ("N", "B" if sys.byteorder == "little" else "L"))
}
"""Pillow keeps the high byte of 16-bit colour; told the other byte order, it keeps the low one."""


def check_bit_depth(bit_depth: int | None) -> None:
    """Raise `SettingsError` unless it is None or from 8 to 32."""
    low, high = BIT_DEPTHS
    require(
        bit_depth is None or low <= bit_depth <= high,
        "bit_depth",
        f"from {low} to {high}, or null",
        bit_depth,
    )


class NarrowRangeWarning(DataWarning):
    """All images of one type are read as nearly black: their bit depth should be declared."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WideType:
    """What the values of an image with more than 8 bits a channel are, by its header."""

    bits: int | None
    """Of its highest value, without the sign; None for floating point."""
    is_colour: bool = False
    is_unsigned_32: bool = False
    """Pillow gives such values as signed ones."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WideRange:
    """How much of its range one image with more than 8 bits a channel uses."""

    bits: int | None
    """That white has; None for floating point whose white is 1."""
    is_declared: bool
    """Whether the bits were declared, not taken from the file's type."""
    high: float
    """The highest value; of 16-bit colour without a declared depth, the highest with its high byte."""

    @property
    def white(self) -> float:
        """The value that is shown as white."""
        return 1.0 if self.bits is None else float(2**self.bits - 1)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NarrowRange:
    """All images of one type use so little of its range that they are read as nearly black."""

    num_images: int
    bits: int | None
    high: float
    likely_bit_depth: int | None
    """The least usual depth that holds all values; None for floating point whose white is 1."""

    def describe(self, how: Callable[[int], str]) -> str:
        """What a domain or a pile of images `has`, and what to do; no full stop.

        `how` says how the likely bit depth is declared.
        """
        images = "1 image" if self.num_images == 1 else f"{self.num_images} images"
        white = "1" if self.bits is None else f"{2**self.bits - 1}"
        shown = f"{self.high:.3g}" if self.bits is None else f"{self.high:.0f}"
        has = f"no value above {shown} of {white} in {images} with more than 8 bits a channel"
        if self.likely_bit_depth is None:
            return f"{has}, read as too dark; save them scaled to 0 to 1, or with 8 bits"
        likely = self.likely_bit_depth
        return f"{has}, read as too dark: these look like values of {likely} bits; {how(likely)}"


def find_narrow_range(ranges: Iterable[WideRange | None], *, are_queries: bool = False) -> NarrowRange | None:
    """The type whose images all stay far below white, that of the most images; None where there is none.

    Queries come after references, which were doubted and whose depth they share: a dark part among bright
    ones is no reason to declare another, so only what is nearly black is doubted.
    """
    groups: dict[tuple[int | None, bool], list[float]] = {}
    for found in ranges:
        if found is not None:
            groups.setdefault((found.bits, found.is_declared), []).append(found.high)
    narrow = [
        _judge(bits, is_declared or are_queries, highs) for (bits, is_declared), highs in groups.items()
    ]
    return max((n for n in narrow if n is not None), key=lambda n: n.num_images, default=None)


def _judge(bits: int | None, is_settled: bool, highs: Sequence[float]) -> NarrowRange | None:
    high = max(highs)
    likely = None
    if bits is None:
        is_narrow = high < _NEARLY_BLACK
    else:
        needed = max(int(high), 0).bit_length()
        likely = next((depth for depth in _USUAL_BIT_DEPTHS if depth >= needed), needed)
        is_narrow = high < (2**bits - 1) * _NEARLY_BLACK if is_settled else likely < bits
    if not is_narrow:
        return None
    return NarrowRange(num_images=len(highs), bits=bits, high=high, likely_bit_depth=likely)


def wide_type(image: Image.Image) -> WideType | None:
    """The type of an opened image whose pixels are still encoded; None with 8 bits a channel or fewer."""
    tags = getattr(image, "tag_v2", {})
    file_bits = max(tags.get(_BITS_PER_SAMPLE, (0,)), default=0)
    if image.mode == "F":
        return WideType(bits=None)
    if image.mode.startswith("I;16"):
        return WideType(bits=12 if file_bits == 12 else 16)
    if image.mode.startswith("I"):
        if image.format == "PNG":  # so some versions of Pillow have it
            return WideType(bits=16)
        is_unsigned = file_bits > 0 and tags.get(_SAMPLE_FORMAT, (1,))[0] != _SIGNED
        bits = (file_bits or 32) - (not is_unsigned)
        return WideType(bits=bits, is_unsigned_32=bits == 32)
    if any(";16" in mode for mode in _raw_modes(image)):
        return WideType(bits=16, is_colour=True)
    return None


def grey_to_8_bits(
    image: Image.Image, of_type: WideType, path: str, bit_depth: int | None
) -> tuple[Image.Image, WideRange]:
    """Wide grey as mode L, block by block; `image` keeps its pixels.

    Raises `ImageError` where a value is not of the range, or the file holds fewer bits than declared.
    """
    bits = _bits_of_white(of_type, path, bit_depth)
    white = 1.0 if bits is None else float(2**bits - 1)
    grey = Image.new("L", image.size)
    high = 0.0
    for top, block in row_blocks(image):
        values = np.asarray(block)
        if of_type.is_unsigned_32:
            values = values.view(np.uint32)
        if of_type.bits is None:
            _check_floats(values, white, path, bit_depth)
        high = max(high, float(values.max()))
        if bit_depth is not None and high > white:
            raise _beyond(path, high, bit_depth)
        grey.paste(Image.fromarray(_scale(values, white)), (0, top))
    return grey, WideRange(bits=bits, is_declared=bit_depth is not None, high=high)


def colour_range(image: Image.Image) -> WideRange:
    """How far the values of 16-bit colour reach, by the high bytes that Pillow gives (mode RGB)."""
    highest = max(level % 256 for level, count in enumerate(image.histogram()) if count)
    return WideRange(bits=16, is_declared=False, high=float(highest * 256 + 255))


def set_low_bytes(image: Image.Image, path: str) -> None:
    """Have an opened 16-bit colour image decode to its values' low bytes; `ImageError` where it cannot."""
    tiles = getattr(image, "tile", [])
    if not all(mode in _OTHER_BYTE for mode in _raw_modes(image)):
        raise ImageError(
            f"{path} has 16-bit channels of a kind that cannot be read with a declared `bit_depth`; save it"
            " as 16-bit RGB or grey."
        )
    for place, tile in enumerate(tiles):
        args = tile[3]
        other = _OTHER_BYTE[args] if isinstance(args, str) else (_OTHER_BYTE[args[0]], *args[1:])
        tiles[place] = type(tile)(*tile[:3], other) if hasattr(tile, "_fields") else (*tile[:3], other)


def colour_to_8_bits(
    high_bytes: Image.Image, low_bytes: Image.Image, path: str, bit_depth: int
) -> tuple[Image.Image, WideRange]:
    """16-bit colour, two RGB images of its bytes, by a declared depth; the first of them is overwritten."""
    if bit_depth > 16:
        raise _fewer_bits(path, 16, bit_depth)
    white = float(2**bit_depth - 1)
    high = 0.0
    for (top, upper), (_, lower) in zip(row_blocks(high_bytes), row_blocks(low_bytes), strict=True):
        values = np.asarray(upper).astype(np.uint16) * np.uint16(256) + np.asarray(lower)
        high = max(high, float(values.max()))
        if high > white:
            raise _beyond(path, high, bit_depth)
        high_bytes.paste(Image.fromarray(_scale(values, white)), (0, top))
    return high_bytes, WideRange(bits=bit_depth, is_declared=True, high=high)


def row_blocks(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """(top, rows) of pieces of about 1 Mipx: the whole in a wider type takes several times its memory."""
    num_rows = max(1, _BLOCK_PIXELS // image.width)
    for top in range(0, image.height, num_rows):
        yield top, image.crop((0, top, image.width, min(top + num_rows, image.height)))


def _bits_of_white(of_type: WideType, path: str, bit_depth: int | None) -> int | None:
    if bit_depth is None:
        return of_type.bits
    if of_type.bits is not None and bit_depth > of_type.bits:
        raise _fewer_bits(path, of_type.bits, bit_depth)
    return bit_depth


def _scale(values: npt.NDArray[Any], white: float) -> npt.NDArray[np.uint8]:
    numbers = values.astype(np.float64)
    numbers *= 255.0 / white
    np.rint(numbers, out=numbers)
    return np.clip(numbers, 0, 255, out=numbers).astype(np.uint8)


def _check_floats(values: npt.NDArray[Any], white: float, path: str, bit_depth: int | None) -> None:
    numbers = values.astype(np.float64)
    if np.isfinite(numbers).all() and numbers.min() >= 0 and (bit_depth is not None or numbers.max() <= 1):
        return
    if bit_depth is not None:
        raise ImageError(
            f"{path} holds floating-point values that are negative or not finite, which no `bit_depth` has;"
            " save it with 8 or 16 bits."
        )
    raise ImageError(
        f"{path} holds floating-point values outside 0 to 1, so its white is unknown; declare its `bit_depth`"
        " (8 for 0 to 255), or save it with 8 or 16 bits."
    )


def _raw_modes(image: Image.Image) -> list[str]:
    """How the decoder of each tile is told to unpack pixels; empty once the pixels are decoded."""
    found = []
    for tile in getattr(image, "tile", []):
        args = tile[3]
        mode = args[0] if isinstance(args, tuple) and args else args
        if isinstance(mode, str):
            found.append(mode)
    return found


def _beyond(path: str, value: float, bit_depth: int) -> ImageError:
    return ImageError(
        f"{path} holds the value {value:.10g}, but the declared `bit_depth` {bit_depth} ends at"
        f" {2**bit_depth - 1}; declare the depth that the camera writes."
    )


def _fewer_bits(path: str, bits: int, bit_depth: int) -> ImageError:
    return ImageError(
        f"{path} has values of {bits} bits, fewer than the declared `bit_depth` {bit_depth}; declare what the"
        " camera writes."
    )
