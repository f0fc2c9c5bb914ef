"""Puzzles: the set of permutations, drawing labels, moving tiles."""

import math

import pytest
import torch

from dgad.generalisation.jigsaw import _NUM_TILES, NUM_PERMUTATIONS, draw_puzzles, permutations, shuffle_tiles


def test_there_are_31_different_permutations_and_the_first_is_the_identity() -> None:
    orders = permutations()
    assert orders.shape == (31, 9)
    assert orders[0].tolist() == list(range(9))
    assert all(sorted(order) == list(range(9)) for order in orders.tolist())
    assert len({tuple(order) for order in orders.tolist()}) == 31


def test_permutations_are_far_apart() -> None:
    """At least 7 of 9 places differ; 31 random ones have pairs that share more."""
    orders = permutations()
    distance = (orders[:, None] != orders[None]).sum(-1)
    distance.fill_diagonal_(_NUM_TILES)
    assert int(distance.min()) >= 7


@pytest.mark.parametrize("side", [63, 64, 65, 128])
def test_tiles_move_as_a_plain_loop_moves_them_and_back(side: int) -> None:
    images = torch.randint(0, 256, (4, 3, side, side), dtype=torch.uint8)
    orders = permutations()[[0, 3, 17, 30]]
    shuffled = shuffle_tiles(images, orders)
    expected = images.clone()
    tile = side // 3
    for n in range(4):
        for place in range(9):
            y, x = divmod(place, 3)
            from_y, from_x = divmod(int(orders[n, place]), 3)
            expected[n, :, y * tile : (y + 1) * tile, x * tile : (x + 1) * tile] = images[
                n, :, from_y * tile : (from_y + 1) * tile, from_x * tile : (from_x + 1) * tile
            ]
    assert torch.equal(shuffled, expected)
    assert torch.equal(shuffled[0], images[0])
    assert not torch.equal(shuffled[1], images[1])
    assert torch.equal(shuffle_tiles(shuffled, orders.argsort(1)), images)


def test_pixels_beyond_a_multiple_of_3_stay_where_they_are() -> None:
    images = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8)
    shuffled = shuffle_tiles(images, permutations()[[5, 9]])
    assert torch.equal(shuffled[..., 126:, :], images[..., 126:, :])
    assert torch.equal(shuffled[..., 126:], images[..., 126:])


def test_puzzles_are_drawn_with_the_asked_share_of_identities() -> None:
    drawn = draw_puzzles(20_000, 0.9, torch.Generator().manual_seed(0))
    assert math.isclose(float((drawn == 0).double().mean()), 0.9, abs_tol=0.01)
    counts = torch.bincount(drawn, minlength=NUM_PERMUTATIONS)[1:]
    assert int(counts.min()) > 30  # about 67 each
    assert not draw_puzzles(100, 1.0, torch.Generator().manual_seed(0)).any()
    assert draw_puzzles(100, 0.0, torch.Generator().manual_seed(0)).all()
    again = draw_puzzles(20_000, 0.9, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, again)
