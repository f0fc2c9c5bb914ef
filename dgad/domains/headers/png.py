"""Chunks of a PNG: its header, and what there is beside its pixels."""

import struct

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_STORED_BYTES = 64 * 2**20
"""Of pixels, up to which they are inflated beforehand (`dgad.domains.stored_png`) and held twice."""
_MAX_CHUNKS = 2_000
"""Beside those of pixels; programs write some ten."""


def find_excess(data: bytes) -> str:
    """What is out of bounds, as the end of a sentence; empty where nothing is."""
    place, num_chunks, num_profiles = 8, 0, 0
    while place + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        kind = data[place + 4 : place + 8]
        if kind == b"IEND":
            break
        num_chunks += kind not in (b"IDAT", b"fdAT")
        num_profiles += kind == b"iCCP"
        if num_profiles > 1:
            return "holds more than one colour profile; save it again without metadata."
        if num_chunks > _MAX_CHUNKS:
            return f"has more than {_MAX_CHUNKS:,} chunks beside its pixels; save it again without metadata."
        place += 12 + size
    return ""


def estimate_bytes(data: bytes) -> int:
    """Memory for the pixels as they are stored, as they are decoded and as RGB."""
    if len(data) < 29:
        return 0
    width, height, bits, colour, _, _, is_interlaced = struct.unpack(">IIBBBBB", data[16:29])
    num_stored = height * (1 + (width * _CHANNELS.get(colour, 4) * bits + 7) // 8)
    held = num_stored if num_stored <= _STORED_BYTES and not is_interlaced else 0
    # RGB is 4 bytes a pixel; all but RGB is there before and after, a palette's in between, and colour of 16
    # bits may be decoded twice (`dgad.domains.wide_values`).
    per_pixel = 18 if bits == 16 and colour in (2, 6) else 9
    return int(max(2 * held, held + per_pixel * width * height))


def read_size(data: bytes) -> tuple[int, int]:
    """(width, height) that the header tells; zeros where it is short."""
    if len(data) < 24:
        return 0, 0
    width, height = struct.unpack(">II", data[16:24])
    return width, height
