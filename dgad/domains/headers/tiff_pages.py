"""How many pages a TIFF file has, by its chain of directories alone."""

import struct
from collections.abc import Iterator

_MAX_PAGES = 1000
"""More are not counted."""
_NEW_SUBFILE_TYPE, _OLD_SUBFILE_TYPE = 254, 255
_FIRST_ENTRIES = 8
"""That are looked at: they ascend by tag, and hardly any is below the two."""
_ENTRY_BYTES = {42: 12, 43: 20}
"""Of one tag, by the number that tells classic TIFF from BigTIFF."""


def count_pages(data: bytes) -> int:
    """Directories that hold an image of their own, at most 1,000; 1 for what is no TIFF.

    Thumbnails and pyramid levels (reduced resolution) are none of their own, nor are transparency masks.
    """
    return 1 + sum(not is_reduced for is_reduced in list(_directories(data))[1:])


def _directories(data: bytes) -> Iterator[bool]:
    """For each directory in turn, whether it is marked as reduced (or as a mask) of another image."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16:
        return
    (version,) = struct.unpack_from(f"{order}H", data, 2)
    if version not in _ENTRY_BYTES:
        return
    size, wide, count = _ENTRY_BYTES[version], "I" if version == 42 else "Q", "H" if version == 42 else "Q"
    (place,) = struct.unpack_from(f"{order}{wide}", data, 4 if version == 42 else 8)
    seen: set[int] = set()
    while place and place not in seen and len(seen) < _MAX_PAGES:
        seen.add(place)
        first = place + struct.calcsize(count)
        if first > len(data):
            return
        (num_entries,) = struct.unpack_from(f"{order}{count}", data, place)
        end = first + num_entries * size
        if end > len(data):
            return
        yield _is_reduced(data, order, first, num_entries, size)
        if end + struct.calcsize(wide) > len(data):
            return
        (place,) = struct.unpack_from(f"{order}{wide}", data, end)


def _is_reduced(data: bytes, order: str, first: int, num_entries: int, size: int) -> bool:
    for entry in range(first, first + min(num_entries, _FIRST_ENTRIES) * size, size):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if tag not in (_NEW_SUBFILE_TYPE, _OLD_SUBFILE_TYPE):
            continue
        value_at = entry + size - (4 if size == 12 else 8)
        (value,) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, value_at)
        # Bit 0: reduced resolution, bit 2: a transparency mask. In the old tag 2 is reduced resolution.
        if value & 0b101 if tag == _NEW_SUBFILE_TYPE else value == 2:
            return True
    return False
