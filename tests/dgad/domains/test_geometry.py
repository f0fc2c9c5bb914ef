import math

import numpy as np
import pytest
from PIL import Image

from dgad.domains.geometry import Geometry, map_size, num_pooled, parse_scale
from dgad.errors import SettingsError


@pytest.mark.parametrize(
    ("scale", "size", "expected"),
    [
        ("auto", (1200, 1600), (600, 800)),
        ("auto", (200, 300), (128, 192)),
        ("auto", (90, 300), (90, 300)),
        ("native", (1200, 1600), (1200, 1600)),
        ("1", (1200, 1600), (1200, 1600)),
        ("0.5", (1260, 500), (630, 250)),
        ("fit 128", (1260, 500), (128, 51)),
        ("fit 128", (64, 32), (128, 64)),
        (" Fit  128 ", (128, 128), (128, 128)),
        ("squash 128", (1260, 500), (128, 128)),
        ("fit 32", (10_000, 3), (32, 1)),
    ],
)
def test_scaled_sizes(scale: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    geometry = Geometry(scale=scale)
    assert geometry.scaled_size(*size) == expected
    if math.prod(size) < 10**6:
        image = Image.fromarray(np.zeros((*size, 3), dtype=np.uint8))
        assert geometry.resize(image).shape == (3, *expected)


@pytest.mark.parametrize(
    "scale", ["", "0", "5", "-1", "fit", "fit 8", "fit 99999", "squash 100", "fill 128", "nan"]
)
def test_what_is_no_scale_is_told(scale: str) -> None:
    with pytest.raises(SettingsError, match="`scale` must be"):
        Geometry(scale=scale)


def test_equal_scales_have_equal_keys_and_others_not() -> None:
    assert Geometry(scale="squash 128").key == "128", "as it was before photographs kept their aspect"
    assert Geometry(scale="1.0").key == Geometry(scale="native").key
    assert Geometry(scale="0.50").key == Geometry(scale="0.5", tile_px=512).key
    keys = [Geometry(scale=s).key for s in ("native", "0.5", "fit 128", "squash 128", "fit 256")]
    assert len(set(keys)) == len(keys)


def test_tiles_and_overlaps_out_of_range_are_told() -> None:
    for wrong in ({"tile_px": 100}, {"tile_px": 32}, {"overlap_px": -1}, {"overlap_px": 4096}):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            Geometry(**wrong)  # type: ignore[arg-type]


def test_a_map_has_no_more_cells_than_a_megapixel_until_its_cells_are_four_pixels() -> None:
    assert map_size(1024, 1024) == (1024, 1024)
    assert map_size(1200, 1601) == (600, 801)
    assert map_size(8000, 8001) == (2000, 2001)


def test_the_pooled_area_does_not_grow_with_the_image() -> None:
    area = Geometry(scale="native").pooled_area_px
    small, large = (num_pooled(0.03, (side // 4) ** 2, 4, area) for side in (128, 2048))
    assert small == large == round(0.03 * 32 * 32)
    assert num_pooled(0.03, 64, 4, area) == round(0.03 * 64), "of a smaller image its own share"
    assert num_pooled(0.03, 64**2, 4, Geometry(scale="squash 256").pooled_area_px) == round(0.03 * 64**2)
    assert num_pooled(1e-9, 10, 4, area) == 1


def test_a_scale_is_told_as_it_is_read() -> None:
    for text in ("auto", "native", "0.5", "fit 300", "squash 96"):
        assert str(parse_scale(text)) == text


@pytest.mark.parametrize(
    ("scale", "side_px"), [("native", 256), ("squash 512", 512), ("fit 100", 128), ("fit 900", 256)]
)
def test_a_network_of_one_size_is_made_no_larger_than_the_images_are(scale: str, side_px: int) -> None:
    assert Geometry(scale=scale).input_px == side_px
