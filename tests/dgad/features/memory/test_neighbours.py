"""The nearest patches of other images, against the whole matrix of distances."""

import math

import pytest
import torch

from dgad.features.memory.neighbours import nearest_of_others


@pytest.mark.parametrize(
    ("num_patches", "num_images", "tile"),
    [(7, 3, 4), (7, 3, 2048), (100, 4, 2048), (300, 5, 128), (333, 40, 96)],
)
def test_they_are_those_of_the_whole_matrix(num_patches: int, num_images: int, tile: int) -> None:
    generator = torch.Generator().manual_seed(num_patches)
    patch = 3 + torch.randn(num_patches, 6, generator=generator) * torch.rand(
        num_patches, 1, generator=generator
    )
    owner = (torch.arange(num_patches) * num_images // num_patches)[
        torch.randperm(num_patches, generator=generator)
    ]
    square, index, is_there = nearest_of_others(patch, owner, 5, tile=tile)
    each = torch.cdist(patch.double(), patch.double()).square()
    each[owner[:, None] == owner[None]] = math.inf
    expected = each.topk(min(5, num_patches), dim=1, largest=False)
    assert torch.equal(is_there, expected.values.isfinite())
    assert not (owner[index] == owner[:, None])[is_there].any()
    torch.testing.assert_close(square[is_there].double(), expected.values[is_there], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        each.gather(1, index)[is_there], expected.values[is_there], rtol=1e-3, atol=1e-4
    )


def test_fewer_patches_than_are_sought_are_all_found() -> None:
    square, index, is_there = nearest_of_others(
        torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1]), 2
    )
    assert is_there.tolist() == [[True, False], [True, False], [True, True]]
    assert index[is_there].tolist() == [2, 2, 1, 0]
    torch.testing.assert_close(square[is_there], torch.tensor([9.0, 4.0, 4.0, 9.0]))
