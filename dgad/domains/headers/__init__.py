"""What a file's structure says before a decoder sees it: what memory it asks for, and what is out of bounds.

Decoders do what a file tells them. One of a few kilobytes can name a tile of a gigabyte or a scan a thousand
times over; that is told here from its markers, chunks and tags, and nothing is decoded. A file that cannot
be followed is left to the decoder, which says what is wrong with it.
"""

import dataclasses
from collections.abc import Callable
from types import ModuleType

from dgad.domains.headers import bmp, jpeg, png, tiff
from dgad.errors import ImageError

_MIB = 2**20
_SLACK_BYTES = 16 * _MIB


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Format:
    start: bytes
    """Its first bytes."""
    find_excess: Callable[[bytes], str]
    """What is out of bounds; empty: nothing."""
    estimate_bytes: Callable[[bytes], int]
    """That decoding takes."""
    read_size: Callable[[bytes], tuple[int, int]]
    """(width, height); zeros where it is not known."""


def _make_format(start: bytes, module: ModuleType) -> _Format:
    return _Format(
        start=start,
        find_excess=module.find_excess,
        estimate_bytes=module.estimate_bytes,
        read_size=module.read_size,
    )


_FORMATS = (
    _make_format(b"\xff\xd8\xff", jpeg),
    _make_format(b"\x89PNG\r\n\x1a\n", png),
    _make_format(b"BM", bmp),
    _make_format(b"II", tiff),
    _make_format(b"MM", tiff),
)


def check_structure(data: bytes, path: str) -> None:
    """Raise `ImageError` for a file whose decoding would be out of all proportion, and say what to do."""
    known = _find_format(data)
    if known is not None and (excess := known.find_excess(data)):
        raise ImageError(f"{path} {excess}")


def estimate_decoding_bytes(data: bytes) -> int:
    """Memory that decoding to 8-bit RGB takes, about, at most; by the first bytes, so that it is quick."""
    known = _find_format(data)
    return _SLACK_BYTES if known is None else _SLACK_BYTES + 2 * len(data) + known.estimate_bytes(data)


def read_size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels that a file claims to have, as it lies; zeros where it does not say."""
    known = _find_format(data)
    return (0, 0) if known is None else known.read_size(data)


def _find_format(data: bytes) -> _Format | None:
    return next((known for known in _FORMATS if data.startswith(known.start)), None)
