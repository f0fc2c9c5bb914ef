"""Values of more than 8 bits: what white is, who declares it, and what is said where nobody did."""

import io
import json
import struct

import numpy as np
import pytest
from PIL import Image

from dgad.domains.checks import check_dataset
from dgad.domains.decoding import decode_image, decode_with_range
from dgad.domains.images import load_images
from dgad.domains.layouts import open_dataset
from dgad.domains.pack import pack
from dgad.domains.wide_values import NarrowRangeWarning, find_narrow_range
from dgad.errors import DataError, ImageError
from tests.geometries import squash

from .trees import mvtec_domain, mvtec_tree

RAMP = np.linspace(0, 4095, 20 * 24).reshape(20, 24)
BRIGHTNESS = np.rint(RAMP * 255 / 4095).astype(np.uint8)


def encode(image: Image.Image, fmt: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, fmt)
    return buffer.getvalue()


def tiff(pixels: bytes, shape: tuple[int, int], bits: tuple[int, ...], sample_format: int = 1) -> bytes:
    """A TIFF of one strip, of types that Pillow reads but does not write."""
    many = struct.pack(f"<{len(bits)}H", *bits)
    tags = {
        256: (4, 1, struct.pack("<I", shape[1])),
        257: (4, 1, struct.pack("<I", shape[0])),
        258: (3, len(bits), many if len(bits) < 3 else struct.pack("<I", 8)),
        259: (3, 1, b"\1\0"),
        262: (3, 1, b"\1\0" if len(bits) == 1 else b"\2\0"),
        273: (4, 1, struct.pack("<I", 16)),
        277: (3, 1, struct.pack("<H", len(bits))),
        278: (4, 1, struct.pack("<I", shape[0])),
        279: (4, 1, struct.pack("<I", len(pixels))),
        339: (3, 1, struct.pack("<H", sample_format)),
    }
    head = b"II*\0" + struct.pack("<I", 16 + len(pixels)) + many.ljust(8, b"\0") + pixels
    entries = b"".join(struct.pack("<HHI", t, k, n) + v.ljust(4, b"\0") for t, (k, n, v) in tags.items())
    return head + struct.pack("<H", len(tags)) + entries + bytes(4)


def rgb_png(values: np.ndarray) -> bytes:
    """16-bit RGB, which Pillow cannot write: a TIFF's pixels would do, but cameras write PNG too."""
    import zlib

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def colours(values: np.ndarray) -> np.ndarray:
    return np.stack([values, values[::-1], values[:, ::-1]], axis=2)


TWELVE_BITS = RAMP.astype(np.uint16)
FILES = {
    "16-bit png": (encode(Image.fromarray(TWELVE_BITS)), 12),
    "16-bit tiff": (encode(Image.fromarray(TWELVE_BITS), "TIFF"), 12),
    "32-bit tiff": (encode(Image.fromarray(RAMP.astype(np.int32)), "TIFF"), 12),
    "float tiff": (encode(Image.fromarray(RAMP.astype(np.float32)), "TIFF"), 12),
    "int16 tiff": (tiff(RAMP.astype("<i2").tobytes(), RAMP.shape, (16,), 2), 12),
    "uint32 tiff": (tiff(RAMP.astype("<u4").tobytes(), RAMP.shape, (32,)), 12),
}


@pytest.mark.parametrize("name", FILES)
def test_a_declared_bit_depth_decides_what_is_white(name):
    data, depth = FILES[name]
    decoded = decode_with_range(data, name, bit_depth=depth)
    assert np.abs(np.asarray(decoded.image)[..., 0].astype(int) - BRIGHTNESS).max() <= 1
    assert find_narrow_range([decoded.wide]) is None


@pytest.mark.parametrize("name", [n for n in FILES if n != "float tiff"])
def test_without_one_it_is_the_types_range_and_that_is_told(name):
    data, depth = FILES[name]
    decoded = decode_with_range(data, name)
    assert np.asarray(decoded.image).max() <= 32
    narrow = find_narrow_range([decoded.wide, None])
    assert (narrow.num_images, narrow.high, narrow.likely_bit_depth) == (1, 4095, depth)


def test_types_that_fill_their_range_are_read_by_it_and_not_doubted():
    whole = np.array([[0, 0.5, 1]])
    files = {
        "uint32": tiff((whole * (2**32 - 1)).astype("<u4").tobytes(), whole.shape, (32,)),
        "int16": tiff((whole * (2**15 - 1)).astype("<i2").tobytes(), whole.shape, (16,), 2),
        "float": encode(Image.fromarray(whole.astype(np.float32)), "TIFF"),
        "12 bits": tiff(bytes([0x00, 0x08, 0x00, 0xFF, 0xF0]), whole.shape, (12,)),
    }
    for name, data in files.items():
        decoded = decode_with_range(data, name)
        assert np.abs(np.asarray(decoded.image)[0, :, 0].astype(int) - [0, 128, 255]).max() <= 1, name
        assert find_narrow_range([decoded.wide]) is None, name


@pytest.mark.parametrize(
    "data",
    [
        rgb_png(colours(TWELVE_BITS)),
        tiff(colours(TWELVE_BITS).astype("<u2").tobytes(), RAMP.shape, (16,) * 3),
    ],
    ids=["png", "tiff"],
)
def test_16_bit_colour_too(data):
    decoded = decode_with_range(data, "c")
    assert find_narrow_range([decoded.wide]).likely_bit_depth == 12
    declared = decode_with_range(data, "c", bit_depth=12)
    assert np.abs(np.asarray(declared.image).astype(int) - colours(BRIGHTNESS)).max() <= 1
    with pytest.raises(ImageError, match=r"c holds the value 4095, .*`bit_depth` 10 ends at 1023"):
        decode_image(data, "c", bit_depth=10)


def test_what_is_above_the_declared_depth_or_cannot_have_it_is_refused():
    png = FILES["16-bit png"][0]
    with pytest.raises(ImageError, match=r"a\.png holds the value 4095, .*`bit_depth` 10 ends at 1023"):
        decode_image(png, "a.png", bit_depth=10)
    with pytest.raises(ImageError, match=r"a\.png has values of 16 bits, fewer than .* 20"):
        decode_image(png, "a.png", bit_depth=20)
    with pytest.raises(ImageError, match=r"f\.tif .*declare its `bit_depth`"):
        decode_image(FILES["float tiff"][0], "f.tif")


def test_8_bits_stay_as_they_are_whatever_is_declared():
    data = encode(Image.fromarray(BRIGHTNESS))
    decoded = decode_with_range(data, "x", bit_depth=12)
    np.testing.assert_array_equal(np.asarray(decoded.image)[..., 0], BRIGHTNESS)
    assert decoded.wide is None


def test_one_image_that_fills_its_range_vouches_for_the_dark_ones_of_its_domain():
    dark = decode_with_range(FILES["16-bit png"][0], "d").wide
    bright = decode_with_range(encode(Image.fromarray(TWELVE_BITS * 16)), "b").wide
    assert find_narrow_range([dark, dark]).num_images == 2
    assert find_narrow_range([dark, bright, dark]) is None


def test_a_declared_depth_is_doubted_only_where_all_is_nearly_black():
    eight_bits = encode(Image.fromarray(BRIGHTNESS.astype(np.uint16)))
    assert find_narrow_range([decode_with_range(eight_bits, "x", bit_depth=10).wide]) is None
    assert find_narrow_range([decode_with_range(eight_bits, "x", bit_depth=13).wide]).likely_bit_depth == 8


def test_a_dark_part_beside_references_is_no_reason_for_another_depth():
    dark = decode_with_range(encode(Image.fromarray(TWELVE_BITS * 3)), "x").wide
    assert find_narrow_range([dark]).likely_bit_depth == 14
    assert find_narrow_range([dark], are_queries=True) is None
    nearly_black = decode_with_range(FILES["16-bit png"][0], "x").wide
    assert find_narrow_range([nearly_black], are_queries=True).likely_bit_depth == 12


def twelve_bit_tree(root):
    """Two domains; the images of `a` hold 12 bits in 16."""
    mvtec_tree(root, "a", "b")
    for path in sorted((root / "a").glob("t*/*/*.png")):
        pixels = np.asarray(Image.open(path)).astype(np.uint16) * 16 + 15
        Image.fromarray(pixels).save(path)
    return root


def test_a_domain_is_warned_of_until_its_bit_depth_is_declared(tmp_path):
    root = twelve_bit_tree(tmp_path)
    found = check_dataset(root)
    assert found.num_fatal == 0
    (problem,) = found.problems
    assert (problem.severity, problem.code, problem.domain) == ("warning", "narrow_value_range", "a")
    assert "above 4095 of 65535" in problem.message
    assert '{"bit_depth": 12}' in problem.message
    samples = open_dataset(root).domain("a").train_normals
    with pytest.warns(NarrowRangeWarning, match=r"^Domain a has .*domain\.json"):
        dark = load_images(samples, squash(32))
    before = open_dataset(root).fingerprint()

    (root / "a/domain.json").write_text('{"bit_depth": 12}')
    assert check_dataset(root).problems == ()
    data = open_dataset(root)
    assert (data.domain("a").bit_depth, data.domain("b").bit_depth) == (12, None)
    assert data.fingerprint() != before
    bright = load_images(data.domain("a").train_normals, squash(32))
    assert bright.stack().float().mean() > 10 * dark.stack().float().mean()
    assert set(bright.keys).isdisjoint(dark.keys)  # no feature of the dark ones is taken for theirs


def test_a_wrong_declaration_names_file_and_value(tmp_path):
    root = twelve_bit_tree(tmp_path)
    file = root / "a/domain.json"
    for text, said in {
        '{"bit_depth": 64}': "from 8 to 32",
        '{"bit_depth": "12"}': "a whole number",
        '{"bits": 12}': "unknown setting `bits`",
        "12": "expected a mapping",
        "{": "is not JSON",
    }.items():
        file.write_text(text)
        with pytest.raises(DataError, match=r"a/domain\.json .*" + said):
            open_dataset(root).domain("a")
        open_dataset(root).domain("b")  # another domain's file blocks none
        assert ("fatal", "wrong_domain_file") in [(p.severity, p.code) for p in check_dataset(root).problems]
    file.write_text('{"bit_depth": 10}')
    assert {p.code for p in check_dataset(root).problems} == {"unreadable_file"}


def test_a_pack_carries_the_declaration_and_older_ones_open(tmp_path):
    root = twelve_bit_tree(tmp_path / "tree")
    (root / "a/domain.json").write_text(json.dumps({"bit_depth": 12}))
    tree = open_dataset(root)
    packed = pack(str(root), str(tmp_path / "packed"))
    assert packed.fingerprint() == tree.fingerprint()
    assert packed.domain("a").bit_depth == 12
    of_pack, of_tree = (load_images(data.domain("a").tests, squash(32)) for data in (packed, tree))
    assert of_pack.keys == of_tree.keys
    assert packed.domain("b").bit_depth is None


def several_pages(**options) -> bytes:
    buffer = io.BytesIO()
    page = Image.fromarray(BRIGHTNESS)
    page.save(buffer, "TIFF", save_all=True, append_images=[page.transpose(0)], **options)
    return buffer.getvalue()


@pytest.mark.parametrize("big", [False, True])
def test_a_file_of_several_pages_is_refused(big, tmp_path):
    data = several_pages(big_tiff=big)
    with pytest.raises(ImageError, match=r"p\.tif has 2 pages, .*each page as its own file"):
        decode_image(data, "p.tif")
    folder = mvtec_domain(tmp_path, "a")
    (folder / "train/good/002.tif").write_bytes(data)
    (problem,) = check_dataset(tmp_path).problems
    assert (problem.severity, problem.code) == ("fatal", "unreadable_file")
    assert problem.message.startswith("has 2 pages")


def test_thumbnails_beside_the_image_are_no_pages():
    from PIL import TiffImagePlugin

    page, small = Image.fromarray(BRIGHTNESS), Image.new("L", (4, 4))
    small.encoderinfo = {"tiffinfo": TiffImagePlugin.ImageFileDirectory_v2()}
    small.encoderinfo["tiffinfo"][254] = 1
    buffer = io.BytesIO()
    page.save(buffer, "TIFF", save_all=True, append_images=[small])
    np.testing.assert_array_equal(np.asarray(decode_image(buffer.getvalue(), "p"))[..., 0], BRIGHTNESS)


def test_an_animated_png_is_refused_and_a_phones_two_pictures_are_not():
    first, second = Image.fromarray(BRIGHTNESS), Image.fromarray(255 - BRIGHTNESS)
    buffer = io.BytesIO()
    first.save(buffer, "PNG", save_all=True, append_images=[second])
    with pytest.raises(ImageError, match="has 2 pages"):
        decode_image(buffer.getvalue(), "a.png")
    buffer = io.BytesIO()
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    shown = np.asarray(decode_image(buffer.getvalue(), "phone.jpg"))[..., 0].astype(int)
    assert np.abs(shown - BRIGHTNESS).mean() < 5


def test_an_endless_chain_of_pages_ends():
    data = bytearray(several_pages())
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * count, first)  # the next one is itself
    assert decode_image(bytes(data), "loop.tif").size == (24, 20)


@pytest.mark.slow
def test_memory_of_a_large_16_bit_image_stays_near_that_of_its_rgb(tmp_path):
    """In a process of its own; float64 copies took 1.6 GiB."""
    import subprocess
    import sys

    path = tmp_path / "large.png"
    Image.fromarray(np.zeros((8000, 8000), dtype=np.uint16)).save(path)
    code = (
        "import resource, sys; from dgad.domains.decoding import decode_image, read_file\n"
        "data = read_file(sys.argv[1]); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "decode_image(data, 'x'); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 400 * 1024  # KiB; the RGB image has 244 MiB
