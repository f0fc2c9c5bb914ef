"""Files whose structure alone says that decoding them is out of proportion are refused before it begins."""

import io
import struct

import pytest
from PIL import Image

from dgad.domains.decoding import DecodeLimits, decode_image
from dgad.domains.headers import check_structure, estimate_decoding_bytes
from dgad.errors import ImageError
from tests import decode_bombs as bombs

EXCESSES = {
    "scans": (
        lambda: bombs.progressive_jpeg(side=64, num_scans=120),
        "64 x 64 pixels in more than 100 scans",
    ),
    "scans of many pixels": (
        lambda: bombs.sequential_jpeg(side=8000, num_scans=30),
        "8000 x 8000 pixels in 30 scans",
    ),
    "segments": (lambda: bombs.jpeg_with_segments(2001), "more than 2,000 segments"),
    "Exif in pieces": (lambda: bombs.exif_in_pieces(2001), "more than 2,000 segments"),
    "chunks": (lambda: bombs.animated_png(2001), "more than 2,000 chunks beside its pixels"),
    "profiles": (lambda: bombs.png_with_text(b"iCCP", 1000, 2), "more than one colour profile"),
    "runs": (lambda: bombs.bmp_runs(width=3000, height=3000, data=b"\1\0\0\0"), "run-length encoded BMP"),
    "tile": (bombs.tiff_tile, "16 x 16 pixels in tiles of 32768 x 32000"),
    "strips": (
        lambda: bombs.tiff_strips(width=20, height=91, rows=90, num_strips=1000),
        "lists 1,000 strips, where 2 make up its image",
    ),
    "tags": (lambda: bombs.tiff_with_tags(1000, 100), "a TIFF of 1,009 tags"),
    "tags' bytes": (lambda: bombs.tiff_with_tags(900, 100_000), "claim more bytes than the file has"),
    "side": (lambda: bombs.png(width=1_000_001, height=1, colour=0), "where a side may have 1,000,000"),
}


@pytest.mark.parametrize("kind", EXCESSES)
def test_a_file_out_of_proportion_is_refused_with_what_it_is(kind: str) -> None:
    make, reason = EXCESSES[kind]
    data = make()
    assert len(data) <= bombs.MOST_BYTES
    with pytest.raises(ImageError, match=rf"^photo\.x .*{reason}"):
        decode_image(data, "photo.x")


def test_what_an_earlier_version_accepted_is_still_read() -> None:
    data = bombs.sequential_jpeg(side=64, num_scans=120)
    with pytest.raises(ImageError, match="scans"):
        decode_image(data, "x")
    assert decode_image(data, "x", DecodeLimits(was_accepted_before=True)).size == (64, 64)


def test_what_encoders_write_is_let_through() -> None:
    image = Image.effect_noise((300, 200), 50).convert("RGB")
    wide = Image.effect_noise((300, 200), 50).convert("I;16")
    written = [
        (image, "JPEG", {"progressive": True, "quality": 95, "exif": Image.Exif().tobytes(), "comment": "x"}),
        (image.convert("CMYK"), "JPEG", {"subsampling": 0}),
        (image, "PNG", {"icc_profile": b"profile" * 100}),
        (image.quantize(), "PNG", {}),
        (wide, "PNG", {}),
        (image.quantize(), "BMP", {}),
        (image, "TIFF", {"compression": "tiff_lzw", "tiffinfo": {278: 7}}),
        (image, "TIFF", {"big_tiff": True}),
        (wide, "TIFF", {"compression": "tiff_adobe_deflate"}),
    ]
    for picture, kind, options in written:
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        assert decode_image(buffer.getvalue(), kind).size == (300, 200)
        least = 300 * 200 * 4  # what the RGB image takes
        assert least < estimate_decoding_bytes(buffer.getvalue()) - 16 * 2**20 < 25 * 300 * 200


def test_an_appended_picture_and_what_looks_like_a_scan_count_for_nothing() -> None:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "JPEG", progressive=True)
    plain = buffer.getvalue()
    comment = b"\xff\xfe" + struct.pack(">H", 2 + 400) + b"\xff\xda\x00\x02" * 100
    check_structure(plain[:2] + comment + plain[2:] + plain * 50, "x.jpg")
    check_structure(plain[:-2] + comment + plain[-2:], "x.jpg")
    # The end of an image inside of a comment ends nothing.
    hidden = bombs.progressive_jpeg(side=64, num_scans=120)
    first = hidden.index(b"\xff\xda")
    second = hidden.index(b"\xff\xda", first + 2)
    hidden = hidden[:second] + b"\xff\xfe\x00\x06xx\xff\xd9" + hidden[second:]
    with pytest.raises(ImageError, match="scans"):
        check_structure(hidden, "x.jpg")


def test_a_file_that_cannot_be_followed_is_left_to_its_decoder() -> None:
    for start in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0+", b"II*\0\xff\xff\xff\xff"):
        for rest in (b"", b"\xff", bytes(40), b"\xff" * 100, b"\xff\xc0\x00\x00\xff\xda"):
            check_structure(start + rest, "x")
            assert estimate_decoding_bytes(start + rest) >= 0
            with pytest.raises(ImageError):
                decode_image(start + rest, "x")
