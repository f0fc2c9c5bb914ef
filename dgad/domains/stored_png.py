"""PNG files with their pixels inflated beforehand.

Pillow inflates a row at a time; ISA-L does it at once and quicker (`benchmarks/scoring_parts.py`), and Pillow
only copies what is then stored. What a file shows, and what is wrong with it, stays Pillow's to say.
"""

import struct
from collections.abc import Iterator

from isal import isal_zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By the colour type."""
_MOST_BYTES = 64 * 2**20
"""Of pixels that are held twice for a moment; larger images are not stored."""
_BLOCK = 65_535
"""Bytes that one stored block may have."""


def stored_png(data: bytes, max_pixels: int) -> bytes:
    """The same image with its pixels stored.

    The bytes as they came where they are anything but a whole PNG file whose rows follow each other, where
    it has more pixels than that, or more than 64 MiB of them.
    """
    num_bytes = _num_pixel_bytes(data, max_pixels)
    if not 0 < num_bytes <= _MOST_BYTES:
        return data
    start, end = 0, 0
    parts: list[memoryview] = []
    for kind, top, bottom in _chunks(data):
        if kind == b"IDAT":
            if not parts:
                start = top - 8
            elif top - 8 != end:  # they must follow each other
                return data
            parts.append(memoryview(data)[top:bottom])
            end = bottom + 4
        if kind == b"IEND":
            break
    else:
        return data
    inflating = isal_zlib.decompressobj()
    try:
        pixels = inflating.decompress(b"".join(parts), num_bytes + 1)
    except isal_zlib.error:  # type: ignore[misc]  # its stub has an instance
        return data
    if len(pixels) != num_bytes or not inflating.eof:
        return data
    return b"".join((data[:start], *_idat(pixels), data[end:]))


def _num_pixel_bytes(data: bytes, max_pixels: int) -> int:
    """Of the rows with their filters' bytes; 0 where the header is not that of a plain PNG file."""
    if len(data) < 33 or data[:8] != _SIGNATURE or data[8:16] != b"\x00\x00\x00\x0dIHDR":
        return 0
    width, height, depth, colour, _, _, interlacing = struct.unpack(">IIBBBBB", data[16:29])
    if interlacing or colour not in _CHANNELS or depth not in (1, 2, 4, 8, 16) or width * height > max_pixels:
        return 0
    return int(height * (1 + (width * _CHANNELS[colour] * depth + 7) // 8))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of the content of every chunk that is whole."""
    place = len(_SIGNATURE)
    while place + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        if place + 12 + size > len(data):
            return
        yield data[place + 4 : place + 8], place + 8, place + 8 + size
        place += 12 + size


def _idat(pixels: bytes) -> Iterator[bytes | memoryview]:
    """The one chunk of stored pixels, in pieces."""
    view = memoryview(pixels)
    blocks = [view[top : top + _BLOCK] for top in range(0, len(view), _BLOCK)]
    content: list[bytes | memoryview] = [b"\x78\x01"]
    for i, block in enumerate(blocks, 1):
        content += [struct.pack("<BHH", i == len(blocks), len(block), len(block) ^ 0xFFFF), block]
    content.append(struct.pack(">I", isal_zlib.adler32(pixels)))
    checksum = isal_zlib.crc32(b"IDAT")
    for piece in content:
        checksum = isal_zlib.crc32(piece, checksum)
    yield struct.pack(">I4s", sum(len(piece) for piece in content), b"IDAT")
    yield from content
    yield struct.pack(">I", checksum)
