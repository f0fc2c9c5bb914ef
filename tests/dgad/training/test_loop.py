"""The training loop stops on a loss that is not finite, and can be anchored."""

import pytest
import torch

from dgad.errors import TrainingError
from dgad.training.loop import one_cycle, step_decay, train


def run(weight: torch.nn.Parameter, losses: list[float], **changes: float) -> list[float]:
    remaining = iter(losses)
    return train(
        torch.optim.AdamW([weight], lr=0.1, weight_decay=0.0),
        lambda: next(remaining) * weight.sum(),
        what="comparer",
        settings="SETTINGS",
        num_steps=len(losses),
        progress=lambda stage, step, total, loss: None,
        clip_norm=5.0,
        **changes,
    )


def test_a_loss_that_is_not_finite_stops_before_it_is_applied() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(TrainingError, match=r"comparer: the loss became nan at step 2 of 3.*SETTINGS"):
        run(weight, [1.0, float("nan"), 1.0])
    assert torch.isfinite(weight).all()


def test_an_anchor_holds_the_weights_back() -> None:
    free, held = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    run(free, [1.0] * 20)
    run(held, [1.0] * 20, anchor_weight=100.0)
    assert abs(float(held.detach()) - 1) < abs(float(free.detach()) - 1) / 2


def test_of_what_was_learnt_a_share_is_kept() -> None:
    start, losses = torch.tensor([1.0, -2.0]), [1.0, 0.5, 2.0]
    free, kept = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    assert run(free, losses) == run(kept, losses, kept_share=0.25)
    expected = start.double() + 0.25 * (free.detach().double() - start.double())
    assert torch.allclose(kept.detach().double(), expected, atol=1e-7)
    assert not torch.equal(free.detach(), start)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 60])
def test_one_cycle_stays_in_range_and_peaks(num_steps: int) -> None:
    factors = [one_cycle(num_steps)(step) for step in range(num_steps)]
    assert all(0 < f <= 1 for f in factors)
    if num_steps >= 60:
        assert max(factors) > 0.99
        assert factors[-1] < 0.1


def test_a_step_decay_falls_once() -> None:
    assert [step_decay(5, at=0.6, factor=0.1)(step) for step in range(5)] == [1, 1, 1, 0.1, 0.1]


def test_the_schedule_and_what_follows_a_step_are_kept() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    seen: list[float] = []
    train(
        torch.optim.SGD([weight], lr=1.0),
        weight.sum,
        what="agg",
        settings="SETTINGS",
        num_steps=4,
        schedule=step_decay(4, at=0.5, factor=0.5),
        after_step=lambda: seen.append(float(weight.detach())),
        progress=lambda stage, step, total, loss: None,
    )
    assert seen == [-1.0, -2.0, -2.5, -3.0]
