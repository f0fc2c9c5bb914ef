"""The first directory of a TIFF: its size, its tiles or strips, and how much its tags hold."""

import dataclasses
import struct

# Bytes of each type of value, by its number.
_SIZES = (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
_TYPE_BYTES = dict(enumerate(_SIZES, 1))
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_WIDTH, _HEIGHT, _BITS = 256, 257, 258
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP = 273, 277, 278
_PLANES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS = 284, 322, 323, 324
_SAMPLE_FORMAT = 339

_MAX_TAGS = 1_000
_USUAL_TILE_PIXELS = 1024 * 1024
"""A tile as large as that may be larger than its image."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Directory:
    num_tags: int
    value_bytes: int
    """Of all values that stand outside of the directory."""
    values: dict[int, int]
    """Tag to its (first) value, where that is an integer that stands in the directory or the file."""
    counts: dict[int, int]
    """Tag to how many values it has."""

    def get(self, tag: int, default: int) -> int:
        """The tag's first value, or what it is without one."""
        return self.values.get(tag, default)


def find_excess(data: bytes) -> str:
    """What is out of bounds, as the end of a sentence; empty where nothing is."""
    directory = _read_directory(data)
    if directory is None:
        return ""
    if directory.num_tags > _MAX_TAGS:
        return f"is a TIFF of {directory.num_tags:,} tags; save it again without metadata."
    if directory.value_bytes > len(data):
        return "is a TIFF whose tags claim more bytes than the file has; copy it again or remove it."
    width, height = directory.get(_WIDTH, 0), directory.get(_HEIGHT, 0)
    num_planes = directory.get(_SAMPLES, 1) if directory.get(_PLANES, 1) == 2 else 1
    if _TILE_OFFSETS in directory.counts:
        across, down = directory.get(_TILE_WIDTH, 0), directory.get(_TILE_HEIGHT, 0)
        is_usual = across * down <= _USUAL_TILE_PIXELS
        if not is_usual and (across > 2 * width or down > 2 * height):
            return (
                f"is a TIFF of {width} x {height} pixels in tiles of {across} x {down};"
                " save it again, in strips."
            )
        needed = -(-width // max(1, across)) * -(-height // max(1, down)) * num_planes
        return _too_many("tiles", directory.counts[_TILE_OFFSETS], needed)
    if _STRIP_OFFSETS in directory.counts:
        rows = min(directory.get(_ROWS_PER_STRIP, height), height)
        needed = -(-height // max(1, rows)) * num_planes
        return _too_many("strips", directory.counts[_STRIP_OFFSETS], needed)
    return ""


def estimate_bytes(data: bytes) -> int:
    """Memory for the largest strip or tile, and for the pixels before and after they become RGB."""
    directory = _read_directory(data)
    if directory is None:
        return 0
    width, height = directory.get(_WIDTH, 0), directory.get(_HEIGHT, 0)
    if _TILE_OFFSETS in directory.counts:
        part = directory.get(_TILE_WIDTH, 0) * directory.get(_TILE_HEIGHT, 0)
    else:
        part = width * min(directory.get(_ROWS_PER_STRIP, height), height)
    sample_bytes = max(1, directory.get(_BITS, 8) // 8)
    part_bytes = part * sample_bytes * directory.get(_SAMPLES, 1)
    # Colour of 16 bits may be decoded twice (`dgad.domains.wide_values`).
    is_wide_colour = sample_bytes == 2 and directory.get(_SAMPLES, 1) > 2
    is_float = sample_bytes > 2 or directory.get(_SAMPLE_FORMAT, 1) == 3
    per_pixel = 18 if is_wide_colour or is_float else 9
    return part_bytes + per_pixel * width * height


def read_size(data: bytes) -> tuple[int, int]:
    """(width, height) that the first directory tells; zeros where it does not."""
    directory = _read_directory(data)
    return (0, 0) if directory is None else (directory.get(_WIDTH, 0), directory.get(_HEIGHT, 0))


def _too_many(parts: str, count: int, needed: int) -> str:
    if count <= max(1, needed):
        return ""
    return f"is a TIFF that lists {count:,} {parts}, where {needed:,} make up its image; save it again."


def _read_directory(data: bytes) -> _Directory | None:
    """The first directory; None where there is none to be read."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        (version,) = struct.unpack_from(order + "H", data, 2)
        if version == 43:  # BigTIFF
            (at,) = struct.unpack_from(order + "Q", data, 8)
            (num_tags,) = struct.unpack_from(order + "Q", data, at)
            return _read_tags(data, order, at + 8, num_tags, struct.Struct(order + "HHQ8s"))
        (at,) = struct.unpack_from(order + "I", data, 4)
        (num_tags,) = struct.unpack_from(order + "H", data, at)
        return _read_tags(data, order, at + 2, num_tags, struct.Struct(order + "HHI4s"))
    except (struct.error, OverflowError):
        return None


def _read_tags(data: bytes, order: str, start: int, num_tags: int, entry: struct.Struct) -> _Directory:
    values: dict[int, int] = {}
    counts: dict[int, int] = {}
    value_bytes, place_bytes = 0, 8 if entry.size == 20 else 4
    for i in range(min(num_tags, _MAX_TAGS)):
        tag, kind, count, place = entry.unpack_from(data, start + i * entry.size)
        if tag in counts:  # the first one counts
            continue
        size = count * _TYPE_BYTES.get(kind, 0)
        counts[tag] = count
        source, at = place, 0
        if size > place_bytes:
            value_bytes += size
            source, at = data, int.from_bytes(place, "little" if order == "<" else "big")
        letter = _INTEGERS.get(kind)
        if letter is not None and count and at + _TYPE_BYTES[kind] <= len(source):
            (values[tag],) = struct.unpack_from(order + letter, source, at)
    return _Directory(num_tags=num_tags, value_bytes=value_bytes, values=values, counts=counts)
