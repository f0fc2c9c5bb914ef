"""The losses of memories, against plain loops in float64."""

import math

import pytest
import torch

from dgad.reconstruction.losses import entropy_loss, margin_loss, trust_region_loss


def test_entropy_is_the_mean_over_latents() -> None:
    weight_QN = torch.tensor([[0.5, 0.25, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    expected = 0.0
    for row in weight_QN.tolist():
        expected -= sum(w * math.log(w) for w in row if w > 0) / 2
    assert float(entropy_loss(weight_QN)) == pytest.approx(expected, abs=1e-10)
    even = torch.full((3, 8), 1 / 8)
    assert float(entropy_loss(even)) == pytest.approx(math.log(8), rel=1e-6)


def test_entropy_has_a_finite_gradient_where_a_weight_is_zero() -> None:
    weight_QN = torch.tensor([[1.0, 0.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(entropy_loss(weight_QN), weight_QN)
    assert torch.isfinite(gradient).all()


def trust_plain(distances: list[float], radius: float, limit: float) -> float:
    total = 0.0
    for d in distances:
        if d <= radius:
            total += d
        elif d <= limit:
            total -= d
    return total / len(distances)


@pytest.mark.parametrize(
    ("distance", "expected"),
    [(0.0, 0.0), (0.7, 0.7), (1.0, 1.0), (1.001, -1.001), (2.0, -2.0), (2.001, 0.0), (9.0, 0.0)],
)
def test_trust_is_plus_inside_d1_minus_up_to_d2_and_nothing_beyond(distance: float, expected: float) -> None:
    nearest_Q = torch.tensor([distance], dtype=torch.float64)
    assert float(trust_region_loss(nearest_Q, radius=1.0, limit=2.0)) == pytest.approx(expected, abs=1e-12)


def test_trust_equals_a_plain_loop() -> None:
    nearest_Q = 3 * torch.rand(200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = trust_plain(nearest_Q.tolist(), 0.9, 1.7)
    assert float(trust_region_loss(nearest_Q, radius=0.9, limit=1.7)) == pytest.approx(expected, abs=1e-12)


def test_with_equal_limits_trust_only_pulls() -> None:
    nearest_Q = torch.tensor([0.5, 1.5])
    assert float(trust_region_loss(nearest_Q, radius=1.0, limit=1.0)) == pytest.approx(0.25)


def test_margin_is_the_hinge_on_the_gap_between_the_two_nearest() -> None:
    first_Q, second_Q = torch.tensor([0.2, 0.2, 0.2]), torch.tensor([0.2, 0.5, 2.0])
    expected = (0.4 + 0.1 + 0.0) / 3
    assert float(margin_loss(first_Q, second_Q, margin=0.4)) == pytest.approx(expected)
    assert float(margin_loss(first_Q, second_Q, margin=0.0)) == 0.0
