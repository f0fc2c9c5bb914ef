"""Markers of a JPEG: its frame, and how many scans it has."""

import dataclasses
import re
import struct

_FRAMES = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF))
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_SCAN, _END = 0xDA, 0xD9
_ALONE = frozenset((0x01, 0xD8, *range(0xD0, 0xD8)))
"""Markers without a length."""
# In a scan 0xFF is followed by 0 or a restart marker; anything else begins what comes next.
_NEXT_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")

_MAX_SEGMENTS = 2_000
"""Before the first scan: a colour profile comes in up to 255, and Exif data in a few."""
_USUAL_SCANS = 24
"""What encoders write has 10 or so, and at most some 20."""
_MAX_SCANS = 100
_MAX_SCANNED_PIXELS = 10**9
"""Scans times pixels: an empty scan takes about 1.4 ns a pixel."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Frame:
    width: int
    height: int
    samplings: tuple[int, ...]
    """Of each component: blocks it has in a unit, width times height."""
    is_progressive: bool
    first_scan: int
    """Where the marker of the first scan is; 0: nowhere."""
    num_segments: int


def find_excess(data: bytes) -> str:
    """What is out of bounds, as the end of a sentence; empty where nothing is."""
    frame = _read_frame(data)
    if frame is None:
        return ""
    if frame.num_segments > _MAX_SEGMENTS:
        return f"has more than {_MAX_SEGMENTS:,} segments before its pixels; save it again without metadata."
    num_scans = _count_scans(data, frame.first_scan)
    num_pixels = frame.width * frame.height
    is_unusual = num_scans > _USUAL_SCANS and num_scans * num_pixels > _MAX_SCANNED_PIXELS
    if num_scans > _MAX_SCANS or is_unusual:
        count = f"more than {_MAX_SCANS}" if num_scans > _MAX_SCANS else str(num_scans)
        return (
            f"is a JPEG of {frame.width} x {frame.height} pixels in {count} scans, which would be decoded one"
            f" over the other; an image has about 10: save it again as a baseline JPEG."
        )
    return ""


def estimate_bytes(data: bytes) -> int:
    """Memory for the pixels, and for the coefficients where they are held."""
    frame = _read_frame(data)
    if frame is None:
        return 0
    num_pixels = frame.width * frame.height
    held = 0.0
    if frame.is_progressive or _first_scan_is_partial(data, frame):
        held = 2 * sum(frame.samplings) / max(1, *frame.samplings)
    # Turned upright or converted, the image is there twice for a moment.
    return int(num_pixels * ((8 if len(frame.samplings) > 1 else 5) + held))


def read_size(data: bytes) -> tuple[int, int]:
    """(width, height) that the frame tells; zeros where it cannot be found."""
    frame = _read_frame(data)
    return (0, 0) if frame is None else (frame.width, frame.height)


def _read_frame(data: bytes) -> _Frame | None:
    """The frame as the first scan finds it; None where the markers cannot be followed."""
    place, num_segments, frame = 2, 0, None
    while place + 4 <= len(data):
        if data[place] != 0xFF:  # decoders skip what is between segments
            place = data.find(b"\xff", place)
            if place < 0:
                break
            continue
        marker = data[place + 1]
        if marker in (0x00, 0xFF) or marker in _ALONE:
            place += 1 if marker == 0xFF else 2
            continue
        if marker == _END:
            break
        if marker == _SCAN or num_segments > _MAX_SEGMENTS:
            return _with_scan(frame, place, num_segments)
        (size,) = struct.unpack_from(">H", data, place + 2)
        if marker in _FRAMES and place + 10 <= len(data):
            height, width, num_components = struct.unpack_from(">HHB", data, place + 5)
            factors = data[place + 11 : place + 10 + 3 * num_components : 3]
            frame = _Frame(
                width=width,
                height=height,
                samplings=tuple(max(1, f >> 4) * max(1, f & 15) for f in factors) or (1,),
                is_progressive=marker in _PROGRESSIVE,
                first_scan=0,
                num_segments=0,
            )
        place += 2 + max(2, size)
        num_segments += 1
    return None


def _with_scan(frame: _Frame | None, place: int, num_segments: int) -> _Frame | None:
    if frame is None and num_segments > _MAX_SEGMENTS:
        frame = _Frame(width=0, height=0, samplings=(1,), is_progressive=False, first_scan=0, num_segments=0)
    if frame is None:
        return None
    return dataclasses.replace(frame, first_scan=place, num_segments=num_segments)


def _first_scan_is_partial(data: bytes, frame: _Frame) -> bool:
    place = frame.first_scan + 4
    return place < len(data) and data[place] < len(frame.samplings)


def _count_scans(data: bytes, place: int) -> int:
    """Scans up to the end of the image; what is appended to it counts for nothing."""
    num_scans = 0
    while num_scans <= _MAX_SCANS and (found := _NEXT_MARKER.search(data, place)):
        marker, place = found[1][0], found.end()
        if marker == _END:
            break
        num_scans += marker == _SCAN
        if marker not in _ALONE and place + 2 <= len(data):  # over its length, which may look like a marker
            place += max(2, struct.unpack_from(">H", data, place)[0])
    return num_scans
