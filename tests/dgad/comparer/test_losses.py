"""Eq. 2 to 4 against plain float64 transcriptions, and their properties."""

import math

import pytest
import torch
from torch import Tensor

from dgad.comparer.losses import attention_loss, classification_loss, ranking_loss


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sign(value: float) -> float:
    return (value > 0) - (value < 0)


def double_loop(score: list[float], attention: list[float], scale: float) -> float:
    """Eq. 4 as printed, over unordered pairs, divided by their number."""
    total, count = 0.0, 0
    for u in range(len(score)):
        for v in range(u + 1, len(score)):
            weight = scale * (math.exp(abs(attention[u] - attention[v])) - 1)
            sigma = -sign(attention[u] - attention[v])
            total += weight * max(0.0, 1 - sigma * (score[u] - score[v]))
            count += 1
    return total / count


def all_pairs(score_P: Tensor, attention_P: Tensor, scale: float) -> Tensor:
    """The same, differentiable in the score."""
    difference = attention_P[:, None] - attention_P[None]
    weight = scale * torch.expm1(difference.abs())
    hinge = (1 + difference.sign() * (score_P[:, None] - score_P[None])).clamp_min(0)
    num = len(score_P)
    return (weight * hinge).sum() / (num * (num - 1))


def test_classification_is_cross_entropy_of_the_sigmoid() -> None:
    logit, label = uniform(6) * 8 - 4, torch.tensor([0, 1, 0, 1, 1, 0])
    want = 0.0
    for z, y in zip(logit.tolist(), label.tolist(), strict=True):
        s = 1 / (1 + math.exp(-z))
        want -= y * math.log(s) + (1 - y) * math.log(1 - s)
    assert classification_loss(logit, label).item() == pytest.approx(want / 6, rel=1e-12)


def test_classification_is_finite_where_the_sigmoid_saturates() -> None:
    logit = torch.tensor([200.0, -200.0], requires_grad=True)
    loss = classification_loss(logit, torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(200)
    assert logit.grad is not None
    assert logit.grad.tolist() == [0.5, -0.5]


def test_attention_loss_is_eq_3() -> None:
    minimum, label = uniform(6), torch.tensor([0, 1, 0, 1, 1, 0])
    want = 0.0
    for m, y in zip(minimum.tolist(), label.tolist(), strict=True):
        want -= y * math.log(1 - m) + (1 - y) * math.log(m)
    assert attention_loss(minimum, label).item() == pytest.approx(want / 6, rel=1e-12)


def test_attention_loss_is_finite_at_the_ends_and_pulls_the_right_way() -> None:
    for dtype in (torch.float32, torch.float64):
        ends = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=dtype, requires_grad=True)
        loss = attention_loss(ends, torch.tensor([0, 0, 1, 1]))
        loss.backward()
        assert loss.isfinite()
        assert ends.grad is not None
        assert ends.grad.isfinite().all()
    inside = torch.tensor([0.5, 0.5], requires_grad=True)
    attention_loss(inside, torch.tensor([0, 1])).backward()
    assert inside.grad is not None
    assert inside.grad[0] < 0 < inside.grad[1]


@pytest.mark.parametrize("num_patches", [2, 3, 10, 65])
@pytest.mark.parametrize("seed", range(3))
def test_ranking_equals_the_double_loop(num_patches: int, seed: int) -> None:
    score, attention = uniform(num_patches, seed=seed), uniform(num_patches, seed=seed + 50)
    want = double_loop(score.tolist(), attention.tolist(), 1.7)
    assert ranking_loss(score, attention, 1.7).item() == pytest.approx(want, rel=1e-12, abs=1e-12)


def test_ranking_equals_the_double_loop_with_ties_and_extremes() -> None:
    attention = torch.tensor([0.5, 0.5, 0.0, 1.0, 0.5, 1.0, 0.0, 0.25], dtype=torch.float64)
    score = torch.tensor([0.0, 1.0, 1.0, 0.0, 0.3, 1.0, 0.0, 1.0], dtype=torch.float64)
    want = double_loop(score.tolist(), attention.tolist(), 0.4)
    assert ranking_loss(score, attention, 0.4).item() == pytest.approx(want, rel=1e-12)


def test_ranking_of_all_ties_is_zero_with_no_gradient() -> None:
    score = uniform(40).requires_grad_()
    loss = ranking_loss(score, torch.full((40,), 0.3, dtype=torch.float64), 1.0)
    loss.backward()
    assert abs(loss.item()) < 1e-15
    assert score.grad is not None
    assert score.grad.abs().max() < 1e-15


def test_ranking_gradient_equals_that_of_all_pairs_and_spares_the_attention() -> None:
    attention = (uniform(200, seed=1) * 10).round() / 10  # many ties
    score = uniform(200).requires_grad_()
    (want,) = torch.autograd.grad(all_pairs(score, attention, 2.0), score)
    attended = attention.clone().requires_grad_()
    loss = ranking_loss(score, attended, 2.0)
    (got,) = torch.autograd.grad(loss, score)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(loss, all_pairs(score, attention, 2.0), rtol=1e-12, atol=1e-15)
    assert not torch.autograd.grad(ranking_loss(score, attended, 2.0), attended, allow_unused=True)[0]


def test_ranking_keeps_its_precision_where_attention_hardly_differs() -> None:
    attention, score = 0.9 + 1e-7 * uniform(300, seed=1), uniform(300)
    torch.testing.assert_close(
        ranking_loss(score, attention, 1.0), all_pairs(score, attention, 1.0), rtol=1e-8, atol=0
    )


def test_ranking_in_float32_is_near_float64() -> None:
    score, attention = uniform(2, 500), uniform(2, 500, seed=1)
    got = ranking_loss(score.float(), attention.float(), 1.0)
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(ranking_loss(score, attention, 1.0).item(), rel=1e-6)


def test_ranking_of_a_batch_is_the_mean_over_queries() -> None:
    score, attention = uniform(5, 30), uniform(5, 30, seed=1)
    alone = torch.stack([ranking_loss(s, a, 0.7) for s, a in zip(score, attention, strict=True)])
    torch.testing.assert_close(ranking_loss(score, attention, 0.7), alone.mean())


def test_ranking_does_not_depend_on_the_order_of_patches() -> None:
    score, attention = uniform(50), uniform(50, seed=1)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        ranking_loss(score[order], attention[order], 1.0), ranking_loss(score, attention, 1.0)
    )


def test_ranking_prefers_higher_scores_where_less_attended() -> None:
    attention = uniform(50, seed=1)
    agreeing, opposing = ranking_loss(1 - attention, attention, 1.0), ranking_loss(attention, attention, 1.0)
    assert 0 <= agreeing < opposing


def test_ranking_of_one_patch_is_zero_and_differentiable() -> None:
    score = torch.tensor([[0.4]], requires_grad=True)
    loss = ranking_loss(score, torch.tensor([[0.2]]), 1.0)
    loss.backward()
    assert loss.item() == 0
