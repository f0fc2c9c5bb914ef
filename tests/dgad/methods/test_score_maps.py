"""Score maps of whole images, drawn from grids of patches, against plain references."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor

from dgad.domains.geometry import map_size
from dgad.domains.image_set import ImageSet
from dgad.domains.region import RegionOfInterest
from dgad.features.blocks import Placement, Window, up
from dgad.features.frozen import Blocks
from dgad.features.grids import PatchGrids
from dgad.methods.score_maps import draw_maps, pool_images

LEFT = RegionOfInterest(polygons=(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)),))


def images(height: int, width: int, region: RegionOfInterest | None = None) -> ImageSet:
    return ImageSet(images=torch.zeros(1, 3, height, width, dtype=torch.uint8), regions=(region,))


def filled(given: ImageSet, stride: int, values_HW: Tensor) -> PatchGrids:
    """Grids of one image from the values of its cells, as of an image filled up to a multiple of 8."""
    (size,) = given.sizes
    window = Window(top=0, left=0, bottom=up(size[0], 8), right=up(size[1], 8))
    place = Placement(core=window, given=window, seen=window)
    cells = torch.full((place.core.height // stride, place.core.width // stride), 1e6)
    cells[: values_HW.shape[0], : values_HW.shape[1]] = values_HW
    grids = PatchGrids(given)
    grids.fill(Blocks(images=(0,), places=(place,), sizes=(size,), levels=[]), cells[None])
    return grids


def drawn(rows: int, columns: int) -> Tensor:
    return torch.rand(rows, columns, generator=torch.Generator().manual_seed(0))


def test_the_map_is_the_maximum_over_patches_that_contain_the_pixel() -> None:
    given, fine, coarse = images(45, 61), drawn(12, 16), drawn(6, 8)
    (own,) = draw_maps([filled(given, 4, fine), filled(given, 8, coarse)], given, sigma_px=0)
    expected = np.empty((45, 61), dtype=np.float32)
    for y in range(45):
        for x in range(61):
            expected[y, x] = max(fine[y // 4, x // 4], coarse[y // 8, x // 8])
    np.testing.assert_array_equal(own.numpy(), expected)


@pytest.mark.parametrize(("border", "mode"), [("replicate", "nearest"), ("reflect", "mirror")])
def test_smoothing_and_interpolation_are_those_of_plain_references(border: str, mode: str) -> None:
    given, values = images(48, 64), drawn(12, 16)
    (own,) = draw_maps(
        [filled(given, 4, values)], given, sigma_px=2, upsampling="bilinear", reach=4, border=border
    )
    large = F.interpolate(values[None, None].double(), size=(48, 64), mode="bilinear")[0, 0]
    np.testing.assert_allclose(own, gaussian_filter(large, 2.0, mode=mode, radius=8), rtol=1e-4)


def test_maps_of_large_images_are_coarser_and_smoothed_as_far() -> None:
    given = images(1100, 1400)
    values = torch.zeros(275, 350)
    values[100, 200] = 1.0
    (own,) = draw_maps([filled(given, 4, values)], given, sigma_px=8)
    assert own.shape == map_size(1100, 1400) == (550, 700)
    full = np.kron(values.numpy(), np.ones((4, 4)))
    expected = gaussian_filter(full, 8.0, radius=24).reshape(550, 2, 700, 2).mean((1, 3))
    np.testing.assert_allclose(own, expected, atol=0.02 * expected.max())


def test_long_maps_are_smoothed_alike() -> None:
    given, values = images(3000, 40), drawn(750, 10)
    (own,) = draw_maps([filled(given, 4, values)], given, sigma_px=4)
    expected = gaussian_filter(np.kron(values.double(), np.ones((4, 4))), 4.0, mode="nearest", radius=12)
    np.testing.assert_allclose(own, expected, rtol=1e-4)


@pytest.mark.parametrize("sigma_px", [0.0, 3.0])
def test_nothing_outside_of_the_region_is_scored_nor_seen_inside_of_it(sigma_px: float) -> None:
    given, values = images(48, 64, LEFT), drawn(12, 16)
    maps, scores = [], []
    for outside in (0.0, 1e9):
        values[:, 8:] = outside
        grids = filled(given, 4, values)
        maps.append(draw_maps([grids], given, sigma_px=sigma_px)[0])
        scores.append(pool_images(grids, fraction=0.1, pooled_area_px=10**6))
    assert torch.equal(scores[0], scores[1])
    np.testing.assert_array_equal(maps[0], maps[1])
    assert not maps[0][:, :32].isnan().any()
    assert maps[0][:, 32:].isnan().all()
    if sigma_px:
        full = np.kron(values.double(), np.ones((4, 4)))[:, :32]
        weight = gaussian_filter(np.pad(np.ones((48, 32)), ((0, 0), (0, 32))), 3.0, mode="nearest", radius=9)
        sums = gaussian_filter(np.pad(full, ((0, 0), (0, 32))), 3.0, mode="nearest", radius=9)
        np.testing.assert_allclose(maps[0][:, :32], (sums / weight)[:, :32], rtol=1e-4)


def test_a_share_of_the_patches_is_pooled_up_to_an_area() -> None:
    given, values = images(400, 400), torch.arange(10_000.0).view(100, 100)
    grids = filled(given, 4, values)
    largest = lambda count: np.arange(10_000 - count, 10_000).mean()  # noqa: E731
    pooled = [float(pool_images(grids, fraction=0.03, pooled_area_px=area)) for area in (128**2, 10**7)]
    np.testing.assert_allclose(pooled, [largest(31), largest(300)])
    assert float(pool_images(grids, fraction=None, pooled_area_px=128**2)) == 9999


def test_a_region_smaller_than_a_cell_counts_the_cells_it_touches() -> None:
    tiny = RegionOfInterest(polygons=(((0.30, 0.30), (0.32, 0.30), (0.32, 0.32), (0.30, 0.32)),))
    given, values = images(32, 32, tiny), drawn(8, 8)
    values[2, 2] = 7.0
    assert float(pool_images(filled(given, 4, values), fraction=None, pooled_area_px=1)) == 7.0
