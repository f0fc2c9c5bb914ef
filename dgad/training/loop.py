"""The loop that every trained method calls: steps, schedule, clipping, anchor, non-finite stop."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from dgad.errors import TrainingError

Schedule = Callable[[int], float]
"""Factor of the learning rate at step 0, 1, ..."""


def train(
    optimizer: torch.optim.Optimizer,
    loss_of_step: Callable[[], Tensor],
    *,
    what: str,
    settings: Any,
    num_steps: int,
    schedule: Schedule = lambda step: 1.0,
    clip_norm: float = math.inf,
    anchor_weight: float = 0.0,
    kept_share: float = 1.0,
    after_step: Callable[[], None] = lambda: None,
    progress: Callable[[str, int, int, float], None],
) -> list[float]:
    """Take `num_steps` steps of the optimiser; returns the loss of every step.

    The gradient's norm is clipped to `clip_norm`. `anchor_weight` adds that multiple of the squared
    distance of the weights from where they start. Of what was learnt the weights keep `kept_share` in the
    end: they lie so far along the line from where they started to where they came. `after_step` is called
    once the weights have changed, such as to average them. Raises `TrainingError`, naming `what`, the step
    and the settings, on a loss that is not finite; the weights are then those before the step.
    """
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    starts = [p.detach().clone() for p in trained] if anchor_weight or kept_share < 1 else []
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    losses: list[float] = []
    for step in range(num_steps):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of_step()
        if anchor_weight:
            pull = sum((p - a).square().sum() for p, a in zip(trained, starts, strict=True))
            loss = loss + anchor_weight * pull
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"{what}: the loss became {value} at step {step + 1} of {num_steps}; a lower learning_rate"
                f" or clip_norm usually mends it. Settings: {settings}"
            )
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(trained, clip_norm)
        optimizer.step()
        rates.step()
        after_step()
        losses.append(value)
        progress(what, step + 1, num_steps, value)
    if kept_share < 1:
        with torch.no_grad():
            for weight, start in zip(trained, starts, strict=True):
                weight.copy_(torch.lerp(start, weight, kept_share))
    return losses


def trainable(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Those that require a gradient."""
    return [p for p in parameters if p.requires_grad]


def one_cycle(num_steps: int, *, warm_fraction: float = 0.3, floor: float = 0.04) -> Schedule:
    """Factors in [floor, 1]: cosine up over the first part of `num_steps`, cosine down over the rest."""

    def factor(step: int) -> float:
        warm = max(1.0, warm_fraction * num_steps)
        after = (step - warm) / max(1.0, num_steps - warm)
        position = 1.0 - step / warm if step < warm else min(1.0, after)
        return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * position))

    return factor


def step_decay(num_steps: int, *, at: float, factor: float) -> Schedule:
    """1 until that share `at` (0 to 1) of `num_steps`, `factor` from then on."""
    return lambda step: factor if step >= at * num_steps else 1.0
