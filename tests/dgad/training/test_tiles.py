"""Tiles: every pixel is in one, what is filled up does not count, a small image is itself."""

import numpy as np
import pytest
import torch

from dgad.domains.geometry import Geometry
from dgad.domains.image_set import ImageSet
from dgad.domains.region import RegionOfInterest
from dgad.training.tiles import Tiles, count_cells, spread, tile_side_px


def numbered(height: int, width: int) -> torch.Tensor:
    return torch.arange(3 * height * width).remainder(251).to(torch.uint8).view(3, height, width)


@pytest.mark.parametrize("overlap_px", [0, 16])
def test_tiles_cover_a_side_evenly_and_start_at_multiples_of_4(overlap_px: int) -> None:
    for length in (*range(1, 400), 8000, 8001):
        starts = spread(length, 64, overlap_px)
        assert starts[0] == 0
        assert length <= starts[-1] + 64 < max(length, 64) + 4
        assert all(start % 4 == 0 for start in starts)
        steps = np.diff(starts)
        assert (steps <= 64 - overlap_px).all(), length
        assert len(steps) < 2 or steps.max() - steps.min() <= 4, length


def test_an_image_that_is_a_tile_is_itself() -> None:
    images = ImageSet(images=[numbered(64, 96), numbered(96, 64)], keys=("a", "b"))
    tiles = Tiles(images, 96)
    assert tiles.images is images
    assert tiles.alpha([0]) is None
    assert list(tiles.batches(8)) == [[0], [1]]


def test_tiles_are_the_image_again_and_know_what_counts() -> None:
    image = numbered(150, 70)
    tiles = Tiles(ImageSet(images=[image], keys=("a",)), 64)
    covered = torch.zeros(150, 70, dtype=torch.bool)
    for index, tile in enumerate(tiles.tiles):
        pixels = tiles.read([index])[0]
        alpha = pixels[3] > 0 if len(pixels) == 4 else torch.ones(64, 64, dtype=torch.bool)
        rows, columns = torch.nonzero(alpha, as_tuple=True)
        at = rows + tile.top, columns + tile.left
        assert torch.equal(pixels[:3, rows, columns], image[:, at[0], at[1]])
        covered[at] = True
    assert covered.all()
    assert len({*tiles.images.keys, "a"}) == len(tiles) + 1, "a tile's features are not the image's"


def test_small_images_are_filled_up_by_reflection() -> None:
    image = numbered(20, 40)
    (filled,) = Tiles(ImageSet(images=[image]), 64).images.images
    assert filled.shape == (3, 32, 64)
    np.testing.assert_array_equal(filled, np.pad(image, ((0, 0), (0, 12), (0, 24)), mode="reflect"))
    mixed = Tiles(ImageSet(images=[image, numbered(64, 64)]), 64, common=True)
    assert mixed.images.stack().shape == (2, 3, 64, 64)


def test_tiles_outside_of_the_region_are_left_out() -> None:
    left = RegionOfInterest(polygons=(((0.0, 0.0), (0.25, 0.0), (0.25, 1.0), (0.0, 1.0)),))
    tiles = Tiles(ImageSet(images=[numbered(64, 256)], regions=(left,)), 64)
    assert [tile.left for tile in tiles.tiles] == [0]
    half = RegionOfInterest(polygons=(((0.0, 0.0), (0.125, 0.0), (0.125, 1.0), (0.0, 1.0)),))
    tiles = Tiles(ImageSet(images=[numbered(64, 256)], regions=(half,)), 64)
    alpha = tiles.alpha([0])
    assert alpha is not None
    assert alpha[0, :, :32].all()
    assert not alpha[0, :, 32:].any()
    assert count_cells(alpha, (4, 4))[0].tolist() == [[True, True, False, False]] * 4


def test_a_squashed_image_is_one_tile() -> None:
    assert tile_side_px(Geometry(scale="squash 512")) == 512
    assert tile_side_px(Geometry(scale="native", tile_px=192)) == 192
