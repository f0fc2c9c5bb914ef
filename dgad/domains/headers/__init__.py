"""What a file's structure says before a decoder sees it: what memory it asks for, and what is out of bounds.

Decoders do what a file tells them. One of a few kilobytes can name a tile of a gigabyte or a scan a thousand
times over; that is told here from its markers, chunks and tags, and nothing is decoded. A file that cannot
be followed is left to the decoder, which says what is wrong with it.
"""

from collections.abc import Callable

from dgad.domains.headers import bmp, jpeg, png, tiff
from dgad.errors import ImageError

_MIB = 2**20
_SLACK_BYTES = 16 * _MIB

# First bytes, then what is out of bounds (empty: nothing), then the bytes that decoding takes.
_FORMATS: tuple[tuple[bytes, Callable[[bytes], str], Callable[[bytes], int]], ...] = (
    (b"\xff\xd8\xff", jpeg.find_excess, jpeg.estimate_bytes),
    (b"\x89PNG\r\n\x1a\n", png.find_excess, png.estimate_bytes),
    (b"BM", bmp.find_excess, bmp.estimate_bytes),
    (b"II", tiff.find_excess, tiff.estimate_bytes),
    (b"MM", tiff.find_excess, tiff.estimate_bytes),
)


def check_structure(data: bytes, path: str) -> None:
    """Raise `ImageError` for a file whose decoding would be out of all proportion, and say what to do."""
    for start, find_excess, _ in _FORMATS:
        if data.startswith(start):
            if excess := find_excess(data):
                raise ImageError(f"{path} {excess}")
            return


def estimate_decoding_bytes(data: bytes) -> int:
    """Memory that decoding to 8-bit RGB takes, about, at most; by the first bytes, so that it is quick."""
    for start, _, estimate in _FORMATS:
        if data.startswith(start):
            return _SLACK_BYTES + 2 * len(data) + estimate(data)
    return _SLACK_BYTES
