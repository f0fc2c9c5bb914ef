"""The header of a BMP."""

import struct

_RUN_LENGTH = (1, 2)
_MAX_RUN_LENGTH_PIXELS = 4 * 2**20
"""Pillow reads such files a byte at a time: up to 90 ns a pixel."""


def find_excess(data: bytes) -> str:
    """What is out of bounds, as the end of a sentence; empty where nothing is."""
    width, height, compression = _read_header(data)
    if compression in _RUN_LENGTH and width * height > _MAX_RUN_LENGTH_PIXELS:
        return (
            f"is a run-length encoded BMP of {width} x {height} pixels, of which at most"
            f" {_MAX_RUN_LENGTH_PIXELS:,} are read; save it as PNG."
        )
    return ""


def estimate_bytes(data: bytes) -> int:
    """Memory for the pixels before and after they become RGB."""
    width, height, compression = _read_header(data)
    return width * height * (12 if compression in _RUN_LENGTH else 9)


def read_size(data: bytes) -> tuple[int, int]:
    """(width, height) that the header tells; zeros where it is short."""
    width, height, _ = _read_header(data)
    return width, height


def _read_header(data: bytes) -> tuple[int, int, int]:
    """Width, height and compression; zeros where the header is short."""
    if len(data) < 34:
        return 0, 0, 0
    (header_size,) = struct.unpack_from("<I", data, 14)
    if header_size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        return width, height, 0
    width, height, _, _, compression = struct.unpack_from("<iiHHI", data, 18)
    return abs(width), abs(height), compression
