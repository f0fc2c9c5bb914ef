"""Addressing against plain loops in float64, and how slots move under the losses."""

# Q latents, N slots, C channels

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from dgad.reconstruction.losses import trust_region_loss
from dgad.reconstruction.memory import (
    Bottleneck,
    ShrunkMemory,
    TrustMemory,
    hard_shrink,
    nearest_addressing,
    shrunk_addressing,
    slot_distances,
)
from dgad.reconstruction.settings import MemAESettings, TrustMAESettings


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def shrunk_plain(latent: list[float], slots: list[list[float]], threshold: float, temperature: float):  # type: ignore[no-untyped-def]
    def cosine(u: list[float], v: list[float]) -> float:
        return sum(a * b for a, b in zip(u, v, strict=True)) / math.hypot(*u) / math.hypot(*v)

    exponentials = [math.exp(cosine(latent, slot) / temperature) for slot in slots]
    weights = [e / sum(exponentials) for e in exponentials]
    shrunk = [max(w - threshold, 0.0) * w / (abs(w - threshold) + 1e-12) for w in weights]
    return [s / sum(shrunk) for s in shrunk]


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_shrunk_addressing_equals_a_plain_loop(temperature: float) -> None:
    latent_QC, slot_NC = drawn(7, 5), drawn(12, 5, seed=1)
    weight_QN = shrunk_addressing(latent_QC, slot_NC, threshold=1 / 12, temperature=temperature)
    for latent, weights in zip(latent_QC.tolist(), weight_QN.tolist(), strict=True):
        assert weights == pytest.approx(shrunk_plain(latent, slot_NC.tolist(), 1 / 12, temperature), abs=1e-9)
    torch.testing.assert_close(weight_QN.sum(1), torch.ones(7, dtype=torch.float64))
    assert (weight_QN >= 0).all()
    assert ((weight_QN == 0).sum(1) >= 1).all()


def test_shrinkage_leaves_what_is_above_the_threshold() -> None:
    weight_QN = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64)
    torch.testing.assert_close(hard_shrink(weight_QN, 0.25), torch.tensor([[0.5, 0.3, 0.0]]).double())
    torch.testing.assert_close(hard_shrink(weight_QN, 0.3), torch.tensor([[0.5, 0.0, 0.0]]).double())
    torch.testing.assert_close(hard_shrink(weight_QN, 0.0), weight_QN)


def test_a_latent_without_a_weight_above_the_threshold_keeps_its_softmax_and_a_gradient() -> None:
    latent_QC, slot_NC = drawn(4, 6).requires_grad_(), drawn(10, 6, seed=1).requires_grad_()
    weight_QN = shrunk_addressing(latent_QC, slot_NC, threshold=0.9, temperature=1.0)
    torch.testing.assert_close(weight_QN.sum(1), torch.ones(4, dtype=torch.float64))
    assert (weight_QN > 0).all()
    gradients = torch.autograd.grad((weight_QN @ slot_NC).square().sum(), [latent_QC, slot_NC])
    assert all(torch.isfinite(g).all() and g.abs().sum() > 0 for g in gradients)


def test_equal_slots_are_read_equally_at_the_usual_threshold() -> None:
    latent_QC = drawn(2, 6).requires_grad_()
    weight_QN = shrunk_addressing(latent_QC, torch.ones(8, 6).double(), threshold=1 / 8, temperature=1.0)
    torch.testing.assert_close(weight_QN, torch.full((2, 8), 1 / 8, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(weight_QN.square().sum(), latent_QC)
    assert torch.isfinite(gradient).all()


def test_a_slot_distance_is_the_root_mean_square_of_the_difference() -> None:
    latent_QC, slot_NC = drawn(5, 3), drawn(4, 3, seed=1)
    distance_QN = slot_distances(latent_QC, slot_NC)
    for q in range(5):
        for n in range(4):
            squares = [(a - b) ** 2 for a, b in zip(latent_QC[q].tolist(), slot_NC[n].tolist(), strict=True)]
            assert float(distance_QN[q, n]) == pytest.approx(math.sqrt(sum(squares) / 3), abs=1e-9)


def test_a_slot_on_its_latent_has_a_finite_gradient() -> None:
    slot_NC = drawn(3, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(slot_distances(slot_NC.detach(), slot_NC).sum(), slot_NC)
    assert torch.isfinite(gradient).all()


def test_only_the_nearest_slots_are_read_by_their_distance() -> None:
    distance_QN = torch.tensor([[0.3, 0.1, 0.9, 0.2], [1.0, 1.0, 0.5, 2.0]], dtype=torch.float64)
    weight_QN = nearest_addressing(distance_QN, num_nearest=2, temperature=0.5)
    for row, weights in zip(distance_QN.tolist(), weight_QN.tolist(), strict=True):
        nearest = sorted(range(4), key=lambda n: row[n])[:2]
        total = sum(math.exp(-row[n] / 0.5) for n in nearest)
        expected = [math.exp(-row[n] / 0.5) / total if n in nearest else 0.0 for n in range(4)]
        assert sorted(weights) == pytest.approx(sorted(expected), abs=1e-12)
        assert sum(weights) == pytest.approx(1.0)
    one = nearest_addressing(distance_QN, num_nearest=1, temperature=0.5)
    assert one[0].tolist() == [0.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("distance", "moves"),
    [(0.5, "nearer"), (1.5, "farther"), (2.5, "not")],
    ids=["inside", "between", "beyond"],
)
def test_a_slot_is_pulled_inside_d1_pushed_up_to_d2_and_left_beyond(distance: float, moves: str) -> None:
    latent_QC = torch.zeros(1, 4)
    slot_NC = torch.full((1, 4), distance, requires_grad=True)
    before = slot_distances(latent_QC, slot_NC)[0, 0]
    loss = trust_region_loss(before[None], radius=1.0, limit=2.0)
    (gradient,) = torch.autograd.grad(loss, slot_NC)
    after = slot_distances(latent_QC, slot_NC.detach() - 0.1 * gradient)[0, 0]
    change = float(after - before.detach())
    assert {"nearer": change < -1e-3, "farther": change > 1e-3, "not": change == 0.0}[moves]


def test_a_memory_moves_only_the_slots_that_its_losses_name() -> None:
    settings = TrustMAESettings(
        width=4, num_slots=3, num_nearest=1, trust_radius=1.0, trust_limit=2.0, margin_weight=0.0
    )
    memory = TrustMemory(settings)
    with torch.no_grad():
        memory.slot_NC.copy_(torch.tensor([[0.5], [6.5], [30.0]]).expand(3, 4))
    latent_QC = torch.tensor([[0.0], [5.0]]).expand(2, 4)
    _, loss = memory(latent_QC)
    (gradient,) = torch.autograd.grad(loss, [memory.slot_NC])
    assert (gradient[0] > 0).all()  # descends towards 0, which is inside d1
    assert (gradient[1] < 0).all()  # descends away from 5, which is between d1 and d2
    assert (gradient[2] == 0).all()


def test_memories_answer_with_combinations_of_slots_and_their_weighted_losses() -> None:
    latent_QC = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    for memory in (
        ShrunkMemory(MemAESettings(width=8, num_slots=16)),
        TrustMemory(TrustMAESettings(width=8, num_slots=16)),
    ):
        read_QC, loss = memory(latent_QC)
        assert read_QC.shape == (20, 8)
        assert loss.shape == ()
        # A convex combination never leaves the slots' box.
        assert (read_QC <= memory.slot_NC.amax(0) + 1e-5).all()
        assert (read_QC >= memory.slot_NC.amin(0) - 1e-5).all()
        without = dataclasses.replace(
            memory.settings,
            **{
                n: 0.0
                for n in ("entropy_weight", "trust_weight", "margin_weight")
                if hasattr(memory.settings, n)
            },
        )
        assert float(loss.detach()) != 0.0
        memory.settings = without  # type: ignore[assignment]
        assert float(memory(latent_QC)[1].detach()) == 0.0


def test_the_plain_bottleneck_changes_nothing() -> None:
    latent_QC = torch.randn(3, 2)
    read_QC, loss = Bottleneck()(latent_QC)
    assert read_QC is latent_QC
    assert float(loss) == 0.0
