"""Boxes around what a map marks, in the pixels of the photograph."""

import numpy as np

from dgad.evaluation.regions import _MAX_REGIONS, Region, regions


def heat(*marks: tuple[int, int, float], size: int = 8) -> np.ndarray:
    found = np.zeros((size, size), dtype=np.float32)
    for y, x, value in marks:
        found[y, x] = value
    return found


def test_a_cell_is_a_box_in_the_pixels_of_the_image() -> None:
    found = regions(heat((2, 5, 3.0)), 1.0, width_px=80, height_px=40)
    assert found == (Region(x=50, y=10, width=10, height=5, score=3.0),)


def test_touching_cells_are_one_region_and_the_highest_comes_first() -> None:
    found = regions(heat((0, 0, 2), (1, 1, 4), (1, 2, 3), (6, 6, 9), (7, 0, 0.5)), 1, width_px=8, height_px=8)
    assert found == (
        Region(x=6, y=6, width=1, height=1, score=9.0),
        Region(x=0, y=0, width=3, height=2, score=4.0),
    )


def test_boxes_lie_in_images_of_any_size_and_are_never_empty() -> None:
    everywhere = np.ones((7, 7), dtype=np.float32)
    for width, height in ((1, 1), (3, 500), (6, 7), (1001, 13)):
        (whole,) = regions(everywhere, 0.5, width_px=width, height_px=height)
        assert (whole.x, whole.y, whole.width, whole.height) == (0, 0, width, height)
        for y, x in ((0, 0), (6, 6), (3, 2)):
            (cell,) = regions(heat((y, x, 1), size=7), 0.5, width_px=width, height_px=height)
            assert cell.x >= 0
            assert cell.y >= 0
            assert cell.x + cell.width <= width
            assert cell.y + cell.height <= height
            assert min(cell.width, cell.height) >= 1


def test_at_most_so_many_and_only_above_the_limit() -> None:
    grid = [(y, x, float(10 + y * 16 + x)) for y in range(0, 16, 2) for x in range(0, 16, 2)]
    found = regions(heat(*grid, size=16), 1.0, width_px=16, height_px=16)
    assert len(found) == _MAX_REGIONS
    assert [r.score for r in found] == sorted((v for *_, v in grid), reverse=True)[:_MAX_REGIONS]
    limit = 3.0
    assert regions(heat((1, 1, limit)), limit, width_px=8, height_px=8) == ()
    assert regions(heat((1, 1, 3.0)), float("inf"), width_px=8, height_px=8) == ()
