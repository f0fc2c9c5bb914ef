"""The same photograph stored again is found; another one of the same surface is not."""

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from dgad.domains import open_dataset
from dgad.domains.decoding import decode_image
from dgad.domains.shrinking import shrink_to_grey
from dgad.references.duplicates import (
    NUM_BYTES,
    fingerprint,
    fingerprint_of_file,
    near_duplicates,
)
from tests.dgad.references.photographs import encoded, picture


@pytest.fixture(scope="module")
def surfaces(demo_data: Path) -> dict[str, list[Image.Image]]:
    """Eight unlike photographs of each of four surfaces."""
    return {
        name: [decode_image(s.image.read(), s.image.path) for s in domain.train_normals[:8]]
        for name, domain in open_dataset(str(demo_data)).domains.items()
    }


def _again(image: Image.Image) -> list[Image.Image]:
    jpeg = Image.open(io.BytesIO(encoded(image, "JPEG", quality=80))).convert("RGB")
    return [
        jpeg,
        image.resize((image.width * 3 // 2, image.height * 3 // 2), Image.Resampling.LANCZOS),
        ImageEnhance.Brightness(image).enhance(1.08),
        ImageEnhance.Contrast(jpeg).enhance(0.9),
    ]


def test_other_photographs_of_one_surface_are_not_flagged(surfaces: dict[str, list[Image.Image]]) -> None:
    for name, images in surfaces.items():
        found = near_duplicates([fingerprint(i) for i in images], 0, [])
        assert found == [None] * 8, name


def test_the_same_photograph_stored_again_is_flagged(surfaces: dict[str, list[Image.Image]]) -> None:
    for name, images in surfaces.items():
        known = [fingerprint(i) for i in images]
        for (index, image), copy in itertools.product(enumerate(images), range(4)):
            again = fingerprint(_again(image)[copy])
            assert near_duplicates([*known, again], len(known), []) == [index], (name, index, copy)


def test_many_copies_of_one_photograph_are_all_flagged() -> None:
    copies = [fingerprint(decode_image(encoded(picture(0), "JPEG", quality=q), "x")) for q in range(80, 95)]
    found = near_duplicates(copies, 0, [])
    assert found[0] is None
    assert None not in found[1:]
    later = near_duplicates([*copies, fingerprint(picture(0))], len(copies), range(1, len(copies)))
    assert later != [None]


def test_photographs_in_register_are_not_flagged_for_what_they_have_in_common() -> None:
    pattern = picture(0)
    parts = [Image.blend(pattern, picture(n), 0.12) for n in range(1, 13)]
    prints = [fingerprint(p) for p in parts]
    assert near_duplicates(prints[:2], 0, []) == [None, 0]  # while there is too little to tell by
    known = [fingerprint(Image.blend(pattern, picture(n), 0.5)) for n in range(20, 30)]
    assert near_duplicates([*known, *prints], len(known), []) == [None] * 12
    again = fingerprint(_again(parts[3])[2])
    assert near_duplicates([*known, *prints, again], len(known) + len(prints), []) == [len(known) + 3]


def test_plain_and_unreadable_ones() -> None:
    grey, white = Image.new("RGB", (80, 60), (90, 90, 90)), Image.new("L", (64, 64), 255)
    plain = fingerprint(grey)
    assert plain == bytes(NUM_BYTES)
    assert near_duplicates([plain, fingerprint(white)], 1, []) == [0]
    assert near_duplicates([fingerprint(picture(1)), plain], 1, []) == [None]
    assert fingerprint_of_file(b"no image") == b""
    assert near_duplicates([b"", b"", fingerprint(picture(1)), b""], 1, []) == [None, None, None]
    assert near_duplicates([b""], 1, []) == []
    assert len(fingerprint(Image.new("RGB", (1, 1)))) == NUM_BYTES


@pytest.mark.parametrize("size", [(300, 5000), (5000, 300), (64, 64), (63, 2000), (1, 1)])
def test_a_thumbnail_in_pieces_is_that_of_the_whole(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dgad.domains.wide_values._BLOCK_PIXELS", 10_000)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    whole = image.convert("L").convert("F").resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(np.asarray(shrink_to_grey(image)), np.asarray(whole), rtol=1e-6, atol=1e-3)
