"""BiFPN: EfficientDet's fusion, and shapes over any number of levels."""

import numpy as np
import pytest
import torch

from dgad.comparer.bifpn import BiFPN, fast_normalised_fusion


def test_fusion_is_efficientdets_formula() -> None:
    maps = [torch.randn(2, 3, 4, 4, dtype=torch.float64) for _ in range(3)]
    weights = torch.tensor([0.7, -0.4, 1.9], dtype=torch.float64)
    positive = np.maximum(weights.numpy(), 0)
    expected = sum(w * m.numpy() for w, m in zip(positive, maps, strict=True)) / (1e-4 + positive.sum())
    np.testing.assert_allclose(fast_normalised_fusion(maps, weights).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("num_levels", [1, 2, 3, 4])
@pytest.mark.parametrize("num_layers", [0, 1, 2])
def test_every_level_keeps_its_size_and_every_weight_learns(num_levels: int, num_layers: int) -> None:
    channels = [8 * (i + 1) for i in range(num_levels)]
    maps = [torch.randn(2, c, 32 >> i, 32 >> i) for i, c in enumerate(channels)]
    pyramid = BiFPN(channels, 16, num_layers)
    outs = pyramid(maps)
    assert [tuple(o.shape) for o in outs] == [(2, 16, 32 >> i, 32 >> i) for i in range(num_levels)]
    for parameter in pyramid.parameters():  # zero-initialised residuals must still let gradients through
        torch.nn.init.normal_(parameter, std=0.5)
    sum(o.square().sum() for o in pyramid(maps)).backward()
    assert all(p.grad is not None for p in pyramid.parameters())


def test_information_flows_both_ways() -> None:
    pyramid = BiFPN([8, 8, 8], 8, 1)
    maps = [torch.zeros(1, 8, s, s, requires_grad=True) for s in (16, 8, 4)]
    outs = pyramid(maps)
    for source in range(3):
        for out in (0, 2):
            (grad,) = torch.autograd.grad(outs[out].sum(), maps[source], retain_graph=True)
            assert grad.abs().sum() > 0, f"level {source} does not reach level {out}"


def test_levels_with_room_go_to_directions_of_their_own() -> None:
    pyramid = BiFPN([4, 6], 12, 1)
    first, second = (lateral.weight.detach()[:, :, 0, 0] for lateral in pyramid.laterals)
    # Of 12 channels: a deviation of 1 in each of 4, or of 6, becomes one of 1 in each of 12.
    assert torch.allclose(first.T @ first, 12 / 4 * torch.eye(4), atol=1e-5)
    assert torch.allclose(second.T @ second, 12 / 6 * torch.eye(6), atol=1e-5)
    assert (first.T @ second).abs().max() < 1e-5


def test_levels_without_room_keep_the_distances_of_each() -> None:
    for lateral in BiFPN([4, 6], 8, 1).laterals:
        weight = lateral.weight.detach()[:, :, 0, 0]
        channels = weight.shape[1]
        assert torch.allclose(weight.T @ weight, 8 / channels * torch.eye(channels), atol=1e-5)
