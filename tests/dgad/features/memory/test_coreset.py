"""The coreset against a plain float64 loop, and what its random projection may do."""

import pytest
import torch
from torch import Tensor

from dgad.features.memory.coreset import coreset, greedy_centres, project


def drawn(num_patches: int, num_channels: int, seed: int = 0) -> Tensor:
    return torch.randn(num_patches, num_channels, generator=torch.Generator().manual_seed(seed))


def plain_centres(patch_KC: Tensor, num_centres: int, start: int) -> list[int]:
    """Greedy k-centre as the papers write it."""
    points = patch_KC.double()
    centres = [start]
    while len(centres) < num_centres:
        nearest_K = torch.stack([(points - points[c]).norm(dim=1) for c in centres]).amin(0)
        nearest_K[centres] = -1
        centres.append(int(nearest_K.argmax()))
    return centres


@pytest.mark.parametrize("start", [0, 17])
def test_centres_are_those_of_the_plain_loop(start: int) -> None:
    patch_KC = drawn(40, 6)
    assert greedy_centres(patch_KC, 12, start=start)[0].tolist() == plain_centres(patch_KC, 12, start)


def test_more_patches_than_are_candidates_at_once_give_the_same_centres() -> None:
    patch_KC = drawn(700, 3)
    found, radius = greedy_centres(patch_KC, 60, start=5)
    points = patch_KC.double()
    assert found.tolist() == plain_centres(patch_KC, 60, 5)
    assert float(radius) == pytest.approx(float(torch.cdist(points, points[found]).amin(1).max()), rel=1e-4)


def test_no_patch_is_chosen_twice_where_many_are_equal() -> None:
    patch_KC = drawn(3, 4).repeat(5, 1)
    chosen = greedy_centres(patch_KC, 9, start=2)[0].tolist()
    assert len(set(chosen)) == 9
    assert len({k % 3 for k in chosen[:3]}) == 3


def test_every_patch_is_nearer_to_the_coreset_than_to_a_sample_of_its_size() -> None:
    patch_KC = torch.cat((0.1 * drawn(390, 8), 5 + drawn(10, 8, seed=1)))
    chosen = coreset(patch_KC, 20, seed=0)
    assert len(chosen) == 20
    sample = torch.randperm(400, generator=torch.Generator().manual_seed(0))[:20]
    farthest = [float(torch.cdist(patch_KC, patch_KC[k]).amin(1).max()) for k in (chosen, sample)]
    assert farthest[0] < farthest[1]


def test_the_seed_decides_the_coreset() -> None:
    patch_KC = drawn(200, 200)
    assert torch.equal(coreset(patch_KC, 20, seed=1), coreset(patch_KC, 20, seed=1))
    assert not torch.equal(coreset(patch_KC, 20, seed=1), coreset(patch_KC, 20, seed=2))


def test_at_least_one_patch_and_at_most_all_in_their_order_are_kept() -> None:
    assert len(coreset(drawn(5, 3), 1, seed=0)) == 1
    assert coreset(drawn(5, 3), 5, seed=0).tolist() == [0, 1, 2, 3, 4]
    assert len(coreset(drawn(1, 3), 2, seed=0)) == 1


def test_theprojection_nearly_keeps_distances_and_never_adds_channels() -> None:
    few = drawn(100, 50)
    assert project(few, 50, seed=0) is few
    many = drawn(100, 1000)
    fewer = project(many, 113, seed=0)
    assert fewer.shape == (100, 113)
    ratio = torch.pdist(fewer) / torch.pdist(many)
    assert 0.6 < float(ratio.min()) < float(ratio.max()) < 1.4
