"""The nearest patch, and what is usual around it, against plain loops."""

import math

import pytest
import torch

from dgad.features.memory.nearest import nearest_patches, usual_distances


@pytest.mark.parametrize("farthest", [False, True])
def test_nearest_patches_are_those_of_the_double_loop(farthest: bool) -> None:
    query, reference = torch.randn(11, 5), torch.randn(17, 5) + 3
    distance, index = nearest_patches(query, reference, farthest=farthest, tile=4)
    for q in range(11):
        each = (query[q].double() - reference.double()).square().sum(1).sqrt()
        chosen = each.argmax() if farthest else each.argmin()
        assert int(index[q]) == int(chosen)
        assert math.isclose(float(distance[q]), float(each[chosen]), rel_tol=1e-5)


def test_usual_distances_are_those_of_the_plain_loop() -> None:
    reference = torch.randn(12, 4)
    owner = torch.arange(12) // 4
    found = usual_distances(reference, owner, num_neighbours=3)
    each = torch.cdist(reference.double(), reference.double())
    each[owner[:, None] == owner[None]] = math.inf
    own = each.min(1).values
    neighbours = each.argsort(1)[:, :3]
    for k in range(12):
        around = float(own[neighbours[k]].mean())
        assert math.isclose(float(found[k]), (around / float(own.mean()) + 1) / 2, rel_tol=1e-3)


def test_a_patch_in_a_busy_part_is_allowed_more() -> None:
    calm = 0.01 * torch.randn(20, 6)
    busy = 5 + torch.randn(20, 6)
    reference = torch.cat((calm[:10], busy[:10], calm[10:], busy[10:]))
    usual = usual_distances(reference, torch.tensor([0] * 20 + [1] * 20))
    is_busy = torch.tensor(([False] * 10 + [True] * 10) * 2)
    assert usual[is_busy].min() > usual[~is_busy].max()
    assert usual.min() >= 0.5


def test_one_image_has_nothing_to_be_compared_with() -> None:
    assert usual_distances(torch.randn(5, 3), torch.zeros(5, dtype=torch.int64)).tolist() == [1] * 5
    assert usual_distances(torch.randn(6, 3), torch.tensor([0, 0, 0, 0, 0, 1])).isfinite().all()


def test_where_few_patches_are_of_other_images_no_other_patch_counts() -> None:
    reference = torch.tensor([[0.0], [1.0], [5.0]])
    usual = usual_distances(reference, torch.tensor([0, 1, 2]))
    own = torch.tensor([1.0, 1.0, 4.0])  # each patch's neighbours are the two others
    around = torch.tensor([2.5, 2.5, 1.0])
    torch.testing.assert_close(usual, (around / own.mean() + 1) / 2)
