"""A PNG file whose pixels were inflated beforehand is the same image, and a broken one as broken."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dgad.domains import decoding
from dgad.domains.decoding import DecodeLimits, decode_image
from dgad.domains.stored_png import stored_png
from dgad.errors import ImageError

MANY = 2**26
PIXELS = np.random.default_rng(0).integers(0, 256, (90, 301, 4), dtype=np.uint8)
"""More than two stored blocks."""


def encoded(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def read(data: bytes) -> tuple[str, object, bytes]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.mode, image.info.get("transparency"), image.tobytes()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    width: int, height: int, *content: bytes, depth: int = 8, colour: int = 2, interlaced: int = 0
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(content) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_is_read_alike(mode: str) -> None:
    options: dict[str, object] = {}
    if mode == "I;16":
        image = Image.fromarray(PIXELS.view(np.uint16)[..., 0].copy())
    else:
        image = Image.fromarray(PIXELS).convert("RGB" if mode == "P" else mode)
    if mode == "P":
        image, options = image.quantize(200), {"transparency": 3}
    data = encoded(image, **options)
    stored = stored_png(data, MANY)
    assert stored != data
    assert read(stored) == read(data)


def test_rows_in_many_chunks_and_what_stands_around_them_stay() -> None:
    squeezed = zlib.compress(b"".join(b"\x02" + row.tobytes() for row in PIXELS[..., :3]))
    parts = [chunk(b"IDAT", squeezed[i : i + 1000]) for i in range(0, len(squeezed), 1000)]
    data = png(301, 90, chunk(b"gAMA", b"\0\0\xb1\x8f"), *parts, chunk(b"tEXt", b"Comment\0after"))
    stored = stored_png(data, MANY)
    assert stored.count(b"IDAT") == 1
    assert read(stored) == read(data)
    with Image.open(io.BytesIO(stored)) as image:
        image.load()
        assert image.info["gamma"] == pytest.approx(0.45455)
        assert image.info["Comment"] == "after"


ROW = b"\0" + bytes(range(6))
WHOLE = chunk(b"IDAT", zlib.compress(ROW * 3))


@pytest.mark.parametrize(
    "data",
    {
        "nothing": b"",
        "a JPEG": b"\xff\xd8\xff\xe0" + bytes(64),
        "interlaced": png(2, 3, WHOLE, interlaced=1),
        "no pixels": png(0, 3, WHOLE),
        "an odd depth": png(2, 3, WHOLE, depth=7),
        "an odd colour type": png(2, 3, WHOLE, colour=5),
        "too few rows": png(2, 4, WHOLE),
        "too many rows": png(2, 2, WHOLE),
        "a bomb": png(2, 3, chunk(b"IDAT", zlib.compress(bytes(2**24)))),
        "a wrong sum": png(2, 3, chunk(b"IDAT", zlib.compress(ROW * 3)[:-1] + b"\0")),
        "a stream that goes on": png(2, 3, chunk(b"IDAT", zlib.compressobj().compress(ROW * 3))),
        "chunks apart": png(2, 3, WHOLE, chunk(b"tEXt", b"a\0b"), WHOLE),
        "no end": png(2, 3, WHOLE)[:-12],
        "cut": png(2, 3, WHOLE)[:-20],
        "larger than allowed": png(8, 9, chunk(b"IDAT", zlib.compress(9 * (b"\0" + bytes(24))))),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_what_is_not_whole_and_plain_stays_as_it_came(data: tuple[str, bytes]) -> None:
    assert stored_png(data[1], 71) == data[1]


def test_what_stands_behind_the_end_stays() -> None:
    data = png(2, 3, WHOLE)
    assert stored_png(data + b"behind", 71) == stored_png(data, 71) + b"behind"
    assert read(stored_png(data, 71)) == read(data)


def test_a_damaged_file_is_read_or_refused_as_by_pillow_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encoded(Image.fromarray(PIXELS[:20, :30, :3]), compress_level=1)
    draw = random.Random(0)
    damaged = [whole[: draw.randrange(len(whole))] for _ in range(40)]
    for _ in range(400):
        data = bytearray(whole)
        # Most of a file is pixels; half of the flips are in its first and last parts.
        place = draw.choice(
            [draw.randrange(len(data)), draw.randrange(60), len(data) - 1 - draw.randrange(30)]
        )
        data[place] ^= 1 << draw.randrange(8)
        damaged.append(bytes(data))
    own = [told(data) for data in damaged]
    assert sum(isinstance(answer, str) for answer in own) > 100
    monkeypatch.setattr(decoding, "stored_png", lambda data, max_pixels: data)
    assert own == [told(data) for data in damaged]


def told(data: bytes) -> str | bytes:
    try:
        return decode_image(data, "x.png").tobytes()
    except ImageError as error:
        return str(error)


def test_bounds_are_those_of_the_file_as_it_came() -> None:
    data = encoded(Image.new("RGB", (300, 200)))
    limits = DecodeLimits(max_bytes=len(data), max_pixels=60_000)
    assert decode_image(data, "x.png", limits).size == (300, 200)
    with pytest.raises(ImageError, match="more than the 59,999 allowed"):
        decode_image(data, "x.png", DecodeLimits(max_pixels=59_999))
