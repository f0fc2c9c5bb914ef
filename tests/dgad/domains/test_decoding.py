import io

import numpy as np
import pytest
from PIL import Image

from dgad.domains.decoding import (
    DecodeLimits,
    decode_image,
    decode_mask,
    image_size,
    is_image_name,
    read_file,
)
from dgad.errors import ImageError, SettingsError


def encode(image: Image.Image, fmt: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


RAMP = np.arange(0, 240, dtype=np.uint8).reshape(12, 20)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P"])
def test_png_modes_become_rgb_of_the_same_size(mode):
    decoded = decode_image(encode(Image.fromarray(RAMP).convert(mode)), "x.png")
    assert decoded.mode == "RGB"
    assert decoded.size == (20, 12)
    if mode in ("L", "LA", "RGB", "RGBA", "P"):
        np.testing.assert_array_equal(np.asarray(decoded)[..., 1], RAMP)


@pytest.mark.parametrize(
    ("fmt", "mode"), [("JPEG", "L"), ("JPEG", "CMYK"), ("BMP", "RGB"), ("TIFF", "RGB"), ("TIFF", "CMYK")]
)
def test_other_formats(fmt, mode):
    flat = Image.new("RGB", (16, 8), (200, 100, 50)).convert(mode)
    decoded = np.asarray(decode_image(encode(flat, fmt), "x"))
    expected = np.asarray(flat.convert("RGB"))
    assert np.abs(decoded.astype(int) - expected).max() <= 3


def test_transparent_palette_keeps_its_colour():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 200, 30] + [0] * 750)
    decoded = decode_image(encode(image, transparency=1), "x.png")
    assert decoded.getpixel((0, 0)) == (10, 200, 30)


@pytest.mark.parametrize("fmt", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_by_its_type_not_its_content(fmt):
    values = np.array([[0, 257, 1000, 32768, 65535]], dtype=np.uint16)
    decoded = np.asarray(decode_image(encode(Image.fromarray(values), fmt), "x"))[0, :, 0]
    np.testing.assert_array_equal(decoded, [0, 1, 4, 128, 255])


def test_32_bit_integers_and_floats():
    wide = Image.fromarray(np.array([[0, 2**30, 2**31 - 1]], dtype=np.int32))
    np.testing.assert_array_equal(np.asarray(decode_image(encode(wide, "TIFF"), "x"))[0, :, 0], [0, 128, 255])
    unit = Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32))
    np.testing.assert_array_equal(np.asarray(decode_image(encode(unit, "TIFF"), "x"))[0, :, 0], [0, 128, 255])


@pytest.mark.parametrize("value", [2.0, -0.5, np.nan])
def test_floats_of_unknown_white_are_refused(value):
    data = encode(Image.fromarray(np.full((2, 2), value, dtype=np.float32)), "TIFF")
    with pytest.raises(ImageError, match=r"f\.tif .*8 or 16 bits"):
        decode_image(data, "f.tif")


def test_exif_orientation_turns_image_and_size():
    image = Image.fromarray(RAMP)
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was held upright
    data = encode(image, "JPEG", exif=exif, quality=95)
    assert decode_image(data, "x.jpg").size == (12, 20)
    assert image_size(data, "x.jpg") == (20, 12)


def test_too_many_pixels_is_refused_by_the_header_alone():
    # A bomb: the header promises 30000 x 30000 pixels and no pixel data follows.
    header = bytearray(encode(Image.new("1", (8, 8))))
    header[16:24] = (9000).to_bytes(4, "big") * 2
    import zlib

    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    with pytest.raises(ImageError, match=r"bomb\.png has 9000 x 9000 pixels.*crop or shrink"):
        decode_image(bytes(header), "bomb.png")
    header[16:24] = (60000).to_bytes(4, "big") * 2  # beyond what Pillow itself opens
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    with pytest.raises(ImageError, match=r"bomb\.png"):
        decode_image(bytes(header), "bomb.png")


def test_byte_limit_holds_before_reading(tmp_path):
    path = tmp_path / "big.png"
    with open(path, "wb") as file:
        file.truncate(65 * 2**20)  # sparse: reading it would cost memory, stat does not
    with pytest.raises(ImageError, match=r"big\.png has 68,157,440 bytes"):
        read_file(str(path))
    with pytest.raises(ImageError, match="more than the 10 allowed"):
        decode_image(b"x" * 11, "x.png", DecodeLimits(max_bytes=10))


def test_limits_are_checked():
    with pytest.raises(SettingsError, match="max_pixels"):
        DecodeLimits(max_pixels=10**10)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"]
)
def test_what_is_no_image_is_named(data):
    with pytest.raises(ImageError, match=r"odd\.png"):
        decode_image(data, "odd.png")


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "BMP", "TIFF"])
@pytest.mark.parametrize("decode", [decode_image, decode_mask])
def test_damaged_files_raise_nothing_but_image_errors(fmt, decode):
    rng = np.random.default_rng(0)
    whole = encode(Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)), fmt)
    with pytest.raises(ImageError):
        decode(whole[: len(whole) // 2], "cut")
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for position in rng.integers(0, min(len(data), 400), size=3):
            data[position] = rng.integers(0, 256)
        try:
            decode(bytes(data), "flipped", DecodeLimits(max_pixels=10**6))
        except ImageError:
            refused += 1
    assert refused > 0


def test_masks_mark_whatever_is_not_black():
    for values in (
        np.array([[0, 255]], np.uint8),
        np.array([[0, 1]], np.uint8),
        np.array([[0, 65535]], np.uint16),
    ):
        np.testing.assert_array_equal(decode_mask(encode(Image.fromarray(values)), "m"), [[False, True]])
    rgb = np.zeros((1, 2, 3), np.uint8)
    rgb[0, 1, 0] = 200
    for mode in ("RGB", "RGBA", "P"):
        np.testing.assert_array_equal(
            decode_mask(encode(Image.fromarray(rgb).convert(mode)), "m"), [[False, True]]
        )
    opaque = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("LA")
    np.testing.assert_array_equal(decode_mask(encode(opaque), "m"), [[False, True]])


def test_jpeg_masks_are_cut_at_half_so_that_ringing_is_no_defect():
    clean = np.zeros((32, 32), np.uint8)
    clean[8:16, 8:16] = 255
    data = encode(Image.fromarray(clean), "JPEG", quality=60)
    np.testing.assert_array_equal(decode_mask(data, "m.jpg"), clean > 0)


def test_image_names():
    assert is_image_name("A.PNG")
    assert is_image_name("b.TiFf")
    assert not is_image_name("._b.png")
    assert not is_image_name("notes.txt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"none\.png cannot be read"):
        read_file(str(tmp_path / "none.png"))
