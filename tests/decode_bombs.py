"""Small files whose decoding would take far more time or memory than their bytes suggest.

Each is of at most 1 MB. Tests take the smaller ones, `benchmarks/malformed_bodies.py` all.
"""

import functools
import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image

MOST_BYTES = 1_000_000
_SIDE = 8000
_JPEG_FILLER = b"\xff\xfe\x00\x02"
"""An empty comment: the shortest segment that there is."""


def progressive_jpeg(*, side: int = _SIDE, num_scans: int, mode: str = "RGB") -> bytes:
    """A grey progressive JPEG whose last scan is repeated until it has that many."""
    head, scans, end = _scans(_jpeg(mode, progressive=True, side=side))
    return head + b"".join(scans) + scans[-1] * (num_scans - len(scans)) + end


def sequential_jpeg(*, side: int = _SIDE, num_scans: int) -> bytes:
    """A sequential JPEG that decodes one component over and over."""
    head, scans, end = _scans(_jpeg("RGB", progressive=False), side=side)
    (scan,) = scans
    tables_and_data = scan[2 + struct.unpack(">H", scan[2:4])[0] :]
    single = b"".join(
        b"\xff\xda\x00\x08\x01" + bytes((component, table)) + b"\x00\x3f\x00" + tables_and_data
        for component, table in ((1, 0), (2, 0x11), (3, 0x11))
    )
    return head + single * (num_scans // 3) + end


def exif_in_pieces(num_segments: int) -> bytes:
    """A JPEG whose Exif data comes in so many segments, each joined to what came before."""
    plain = _jpeg("RGB", progressive=False)
    return plain[:2] + b"\xff\xe1\x00\x0aExif\0\0xx" * num_segments + plain[2:]


def jpeg_with_segments(num_segments: int) -> bytes:
    """A JPEG with so many empty comments before its pixels."""
    plain = _jpeg("RGB", progressive=False)
    return plain[:2] + _JPEG_FILLER * num_segments + plain[2:]


def png(
    *, width: int = _SIDE, height: int = _SIDE, bits: int = 8, colour: int = 2, interlaced: bool = False
) -> bytes:
    """A black PNG, its rows all alike."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row_bytes = 1 + (width * channels * bits + 7) // 8
    squeeze = zlib.compressobj(9)
    rows = bytes(row_bytes * 16)
    # Interlaced, its rows are shorter and more; a little too much is ignored.
    parts = [squeeze.compress(rows) for _ in range(-(-height // 16) + (64 if interlaced else 0))]
    palette = _chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    return _png(header, b"".join(parts) + squeeze.flush(), extra=palette)


def png_with_chunks(chunk: bytes, num_chunks: int) -> bytes:
    """A small PNG with a chunk that is there so many times, before its pixels."""
    return _png(
        struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0), zlib.compress(bytes(8 * 25)), chunk * num_chunks
    )


def png_with_text(kind: bytes, num_bytes: int, num_chunks: int = 1) -> bytes:
    """A small PNG whose texts or profiles of that chunk unpack to so many bytes each."""
    head = b"k\0\x01\0\0\0" if kind == b"iTXt" else b"k\0\0"
    return png_with_chunks(_chunk(kind, head + zlib.compress(bytes(num_bytes), 9)), num_chunks)


def png_in_pieces(num_chunks: int) -> bytes:
    """A PNG whose pixels come a few bytes a chunk."""
    pixels = zlib.compress(bytes(8 * 25), 0)
    pieces = [_chunk(b"IDAT", b"")] * num_chunks + [_chunk(b"IDAT", pixels)]
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(pieces) + _chunk(b"IEND", b"")


def png_with_exif(num_tags: int, num_bytes: int) -> bytes:
    """A small PNG whose Exif data has so many tags, which all have the same bytes as their value."""
    head = b"II*\x00\x08\0\0\0" + struct.pack("<H", num_tags)
    at = len(head) + 12 * num_tags + 4
    tags = b"".join(struct.pack("<HHII", 1000 + i, 7, num_bytes, at) for i in range(num_tags))
    return png_with_chunks(_chunk(b"eXIf", head + tags + bytes(4) + bytes(num_bytes)), 1)


def animated_png(num_frames: int) -> bytes:
    """A PNG that says it has so many frames, each with a control chunk and pixels of its own."""
    control = struct.pack(">IIIII", 0, 8, 8, 0, 0) + struct.pack(">HHBB", 1, 10, 0, 0)
    frame = _chunk(b"fcTL", control) + _chunk(b"fdAT", struct.pack(">I", 1) + zlib.compress(bytes(8 * 25)))
    animation = _chunk(b"acTL", struct.pack(">II", num_frames, 0))
    whole = png_with_chunks(animation, 1)
    return whole[:-12] + frame * num_frames + whole[-12:]


def bmp_runs(*, width: int, height: int, data: bytes, four_bit: bool = False) -> bytes:
    """A run-length encoded BMP."""
    palette = bytes(4 * 16) if four_bit else bytes(4 * 256)
    start = 54 + len(palette)
    bits, compression = (4, 2) if four_bit else (8, 1)
    info = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, len(palette) // 4, 0
    )
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + palette + data


def tiff(tags: dict[int, tuple[int, ...]], data: bytes, *, at: int = 8) -> bytes:
    """A little-endian TIFF with its pixels' bytes first, at 8, and these tags, all of type LONG."""
    directory_at = at + len(data)
    directory_at += directory_at % 2
    values_at = directory_at + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag, value in sorted(tags.items()):
        packed = struct.pack(f"<{len(value)}I", *value)
        place = packed.ljust(4, b"\0")
        if len(packed) > 4:
            place = struct.pack("<I", values_at + len(values))
            values += packed
        entries += struct.pack("<HHI", tag, 4, len(value)) + place
    body = data.ljust(directory_at - at, b"\0")
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", directory_at) + body + directory + values


def tiff_tile(*, side: int = 16, tile: tuple[int, int] = (32_768, 32_000)) -> bytes:
    """A small picture in one tile that is far larger."""
    data = zlib.compress(bytes(4096))
    return tiff(
        {**_grey_tags(side, side, 8), 322: (tile[0],), 323: (tile[1],), 324: (8,), 325: (len(data),)}, data
    )


def tiff_strips(*, width: int, height: int, rows: int, num_strips: int) -> bytes:
    """An uncompressed picture with far more strips than make it up, all of the same bytes."""
    data = bytes(width * rows)
    tags = _grey_tags(width, height, 1)
    return tiff({**tags, 278: (rows,), 273: (8,) * num_strips, 279: (len(data),) * num_strips}, data)


def tiff_of(compression: int, strip: bytes, *, side: int = _SIDE, bits: int = 8, samples: int = 1) -> bytes:
    """A picture in one strip."""
    tags = {**_grey_tags(side, side, compression), 258: (bits,) * samples, 277: (samples,), 278: (side,)}
    tags |= {262: (2 if samples == 3 else 6 if compression == 7 and samples == 3 else 1,)}
    return tiff({**tags, 273: (8,), 279: (len(strip),)}, strip)


def tiff_with_tags(num_tags: int, num_bytes: int) -> bytes:
    """A picture with so many further tags, which all have the same bytes as their value."""
    needed = {**_grey_tags(8, 8, 1), 273: (0,), 278: (8,), 279: (64,)}
    count = len(needed) + num_tags
    at = 10 + 12 * count + 4
    needed[273] = (at,)
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value[0]) for tag, value in sorted(needed.items()))
    tags += b"".join(struct.pack("<HHII", 1000 + i, 7, num_bytes, at) for i in range(num_tags))
    return b"II*\x00\x08\0\0\0" + struct.pack("<H", count) + tags + bytes(4) + bytes(max(num_bytes, 64))


def _grey_tags(width: int, height: int, compression: int) -> dict[int, tuple[int, ...]]:
    return {256: (width,), 257: (height,), 258: (8,), 259: (compression,), 262: (1,), 277: (1,)}


@functools.cache
def _jpeg(mode: str, *, progressive: bool, side: int = 16) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (side, side), "grey" if mode != "CMYK" else 0).save(
        buffer, "JPEG", progressive=progressive, subsampling=0
    )
    return buffer.getvalue()


def _scans(data: bytes, side: int | None = None) -> tuple[bytes, list[bytes], bytes]:
    """What comes before the scans, with another size if so; the scans with their tables; the end."""
    place, top, scans = 2, 0, []
    sized = bytearray(data)
    while data[place + 1] != 0xD9:
        marker, (size,) = data[place + 1], struct.unpack_from(">H", data, place + 2)
        if side is not None and marker in (0xC0, 0xC1, 0xC2):
            struct.pack_into(">HH", sized, place + 5, side, side)
        if marker == 0xDA and not scans:
            top = place  # tables may come before each of the others
        place += 2 + size
        if marker == 0xDA:
            while not (data[place] == 0xFF and data[place + 1] not in (0, *range(0xD0, 0xD8))):
                place += 1
            scans.append(bytes(data[top:place]))
            top = place
    first = data.index(scans[0])
    return bytes(sized[:first]), scans, b"\xff\xd9"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(header: bytes, pixels: bytes, extra: bytes = b"") -> bytes:
    start = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + extra
    return start + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def flat_tiff(compression: str, mode: str = "L", side: int = _SIDE) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (side, side)).save(buffer, "TIFF", compression=compression)
    return buffer.getvalue()


def _in_tiff(jpeg: bytes, side: int) -> bytes:
    return tiff_of(7, jpeg, side=side)


BOMBS: dict[str, Callable[[], bytes]] = {
    "JPEG, progressive, 2,000 scans": lambda: progressive_jpeg(num_scans=2000),
    "JPEG, progressive, 24 scans": lambda: progressive_jpeg(num_scans=24),
    "JPEG, progressive, 24 scans of 40 MP": lambda: progressive_jpeg(num_scans=24, side=6300),
    "JPEG, progressive, CMYK": lambda: progressive_jpeg(num_scans=15, mode="CMYK"),
    "JPEG, progressive, 100 scans of 10 MP": lambda: progressive_jpeg(num_scans=100, side=3200),
    "JPEG, sequential, 1,500 scans": lambda: sequential_jpeg(num_scans=1500),
    "JPEG, sequential, 24 scans": lambda: sequential_jpeg(num_scans=24),
    "JPEG, sequential, 24 scans of 40 MP": lambda: sequential_jpeg(num_scans=24, side=6300),
    "JPEG, Exif in 80,000 pieces": lambda: exif_in_pieces(80_000),
    "JPEG, 240,000 segments": lambda: jpeg_with_segments(240_000),
    "JPEG, 1 MB before its first scan": lambda: (
        _jpeg("RGB", progressive=False)[:2] + b"x" * 990_000 + _jpeg("RGB", progressive=False)[2:]
    ),
    "PNG, grey of 16 bits": lambda: png(bits=16, colour=0),
    "PNG, RGB": lambda: png(),
    "PNG, RGB of 16 bits": lambda: png(bits=16),
    "PNG, RGBA": lambda: png(colour=6),
    "PNG, RGBA of 16 bits": lambda: png(bits=16, colour=6),
    "PNG, grey and alpha": lambda: png(colour=4),
    "PNG, palette": lambda: png(colour=3),
    "PNG, 1 bit": lambda: png(bits=1, colour=0),
    "PNG, interlaced RGB": lambda: png(interlaced=True),
    "PNG, interlaced RGBA of 16 bits": lambda: png(colour=6, bits=16, interlaced=True),
    "PNG, one row": lambda: png(width=60_000_000, height=1, colour=0),
    "PNG, one column": lambda: png(width=1, height=60_000_000, colour=0),
    "PNG, text of 200 MB": lambda: png_with_text(b"zTXt", 200 * 2**20),
    "PNG, 900 texts of 1 MB": lambda: png_with_text(b"zTXt", 2**20 - 1, 900),
    "PNG, 900 iTXt of 1 MB": lambda: png_with_text(b"iTXt", 2**20 - 1, 900),
    "PNG, 900 profiles of 1 MB": lambda: png_with_text(b"iCCP", 2**20 - 1, 900),
    "PNG, 80,000 chunks": lambda: png_with_chunks(_chunk(b"prVt", b""), 80_000),
    "PNG, 80,000 pieces": lambda: png_in_pieces(80_000),
    "PNG, Exif of 60,000 tags": lambda: png_with_exif(60_000, 200_000),
    "PNG, 6,000 frames": lambda: animated_png(6_000),
    "BMP, runs": lambda: bmp_runs(width=_SIDE, height=_SIDE, data=b"\xff\0" * 490_000),
    "BMP, ends of lines": lambda: bmp_runs(width=_SIDE, height=_SIDE, data=b"\1\0\0\0" * _SIDE),
    "BMP, runs of 4 bits": lambda: bmp_runs(
        width=_SIDE, height=_SIDE, data=b"\xff\0" * 490_000, four_bit=True
    ),
    "BMP, leaps": lambda: bmp_runs(width=60_000_000, height=1, data=b"\0\2\0\xff" * 240_000),
    "TIFF, a tile of 1 GiB": tiff_tile,
    "TIFF, 100,000 strips too many": lambda: tiff_strips(width=200, height=901, rows=900, num_strips=100_000),
    "TIFF, deflate": lambda: flat_tiff("tiff_adobe_deflate"),
    "TIFF, deflate, RGB": lambda: flat_tiff("tiff_adobe_deflate", "RGB"),
    "TIFF, deflate, RGBA": lambda: flat_tiff("tiff_adobe_deflate", "RGBA"),
    "TIFF, deflate, RGB of 16 bits": lambda: tiff_of(
        8, zlib.compress(bytes(_SIDE * _SIDE * 6), 9), bits=16, samples=3
    ),
    "TIFF, deflate, floats": lambda: flat_tiff("tiff_adobe_deflate", "F"),
    "TIFF, deflate, 32 bits": lambda: flat_tiff("tiff_adobe_deflate", "I"),
    "TIFF, LZW": lambda: flat_tiff("tiff_lzw"),
    "TIFF, LZMA": lambda: flat_tiff("lzma"),
    "TIFF, Zstandard": lambda: flat_tiff("zstd"),
    "TIFF, PackBits": lambda: flat_tiff("packbits"),
    "TIFF, CCITT": lambda: flat_tiff("group4", "1"),
    "TIFF, JPEG of 90 scans": lambda: _in_tiff(progressive_jpeg(num_scans=90, mode="L"), _SIDE),
    "TIFF, 60,000 tags": lambda: tiff_with_tags(60_000, 200_000),
}
"""Name to what makes it."""
