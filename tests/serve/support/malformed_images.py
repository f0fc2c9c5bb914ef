"""Image files that are not what they should be: cut, flipped, huge, hollow, or two things at once."""

import functools
import io
import pickle
import random
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "BMP": "image/bmp", "TIFF": "image/tiff"}


def valid(kind: str, seed: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    """A small photograph of noise."""
    pixels = np.random.default_rng(seed).integers(0, 200, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def flipped(draw: random.Random) -> bytes:
    """A valid image with some bytes changed, half of the time in its first hundred."""
    data = bytearray(valid(draw.choice(FORMATS), draw.randrange(10)))
    end = len(data) if draw.random() < 0.5 else 100
    for _ in range(draw.randint(1, 12)):
        data[draw.randrange(end)] = draw.randrange(256)
    return bytes(data)


def truncated(draw: random.Random) -> bytes:
    """The first part of an image."""
    data = valid(draw.choice(FORMATS), draw.randrange(10))
    return data[: draw.randrange(1, len(data) * 4 // 5)]


def bomb(draw: random.Random) -> bytes:
    """Far more pixels than bytes suggest, some only announced, some really there."""
    side = draw.choice((20_000, 60_000, 2**31 - 1))
    makers = (
        lambda: _png(side, side, b"\0" * 1000),
        _bomb_with_its_pixels,
        lambda: valid("BMP")[:18] + struct.pack("<ii", min(side, 2**31 - 1), side) + valid("BMP")[26:],
        lambda: _tiff(side, side),
        lambda: (
            b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xd9"
        ),
        lambda: _png(0, 0, b""),
    )
    return draw.choice(makers)()


def hollow(draw: random.Random) -> bytes:
    """A small image whose text or colour profile swells to 200 MB when it is unpacked."""
    swollen = _zeros(200 * 2**20 if draw.random() < 0.2 else 2**21)
    chunk = draw.choice((b"zTXt", b"iCCP", b"iTXt"))
    head = b"k\0\x01\0\0\0" if chunk == b"iTXt" else b"k\0\0"
    return _png(8, 8, b"\0" * (8 * 25), extra=_chunk(chunk, head + swollen))


def polyglot(draw: random.Random) -> bytes:
    """A valid image that is an archive, a document, a page or a script as well."""
    image = valid(draw.choice(FORMATS), draw.randrange(10))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        # Without a date of its own the entry has that of now, and equal seeds would give other bytes.
        file.writestr(zipfile.ZipInfo("../../etc/cron.d/x"), "* * * * * root id")
    others = (
        archive.getvalue(),
        b"<html><script>alert(1)</script></html>",
        b"<?php system($_GET['c']); ?>",
        b"<svg onload=alert(1)>",
    )
    made = image + draw.choice(others)
    if draw.random() < 0.2:
        text = _chunk(b"tEXt", b"Comment\0%PDF-1.7 1 0 obj")
        made = _png(8, 8, b"\0" * (8 * 25), extra=text)
    return made


def no_image(draw: random.Random) -> bytes:
    """Something else altogether."""
    others = (
        b"GIF89a" + bytes(100),
        b"RIFF\x24\0\0\0WEBPVP8 " + bytes(40),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        pickle.dumps({"a": np.zeros(3)}),
        b"\x7fELF" + bytes(200),
        b"%PDF-1.7\n",
        b"PK\x03\x04" + bytes(60),
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"BM",
        b"II*\x00",
        b"MM\x00*\x00\x00\x00\x08\xff\xff",
        b"\0",
        bytes(draw.randrange(256) for _ in range(draw.randint(1, 400))),
    )
    return draw.choice(others)


@functools.lru_cache
def _zeros(count: int) -> bytes:
    return zlib.compress(bytes(count), 9)


@functools.lru_cache
def _bomb_with_its_pixels() -> bytes:
    return _png(16_000, 16_000, bytes(16_000 * 2001), bits=1, colour=0)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(
    width: int, height: int, rows: bytes, *, bits: int = 8, colour: int = 2, extra: bytes = b""
) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    pixels = _chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + header + extra + pixels + _chunk(b"IEND", b"")


def _tiff(width: int, height: int) -> bytes:
    tags = (
        (256, width),
        (257, height),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, height),
        (279, 4),
    )
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\x00\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
