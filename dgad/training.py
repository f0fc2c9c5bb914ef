"""The loop that every trained method calls: steps, schedule, clipping, anchor, non-finite stop."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from dgad.errors import TrainingError


def train(
    parameters: Iterable[nn.Parameter],
    loss_of_step: Callable[[], Tensor],
    *,
    what: str,
    settings: Any,
    num_steps: int,
    learning_rate: float,
    weight_decay: float,
    clip_norm: float,
    anchor_weight: float = 0.0,
    progress: Callable[[str, int, int, float], None],
) -> list[float]:
    """AdamW under a one-cycle schedule; returns the loss of every step.

    `anchor_weight` adds that multiple of the squared distance of the weights from where they start.
    Raises `TrainingError`, naming `what`, the step and the settings, on a loss that is not finite; the
    weights are then those before the step.
    """
    trained = [p for p in parameters if p.requires_grad]
    anchors = [p.detach().clone() for p in trained] if anchor_weight else []
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step, num_steps))
    losses: list[float] = []
    for step in range(num_steps):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of_step()
        if anchors:
            pull = sum((p - a).square().sum() for p, a in zip(trained, anchors, strict=True))
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
        schedule.step()
        losses.append(value)
        progress(what, step + 1, num_steps, value)
    return losses


def one_cycle(step: int, num_steps: int, warm_fraction: float = 0.3, floor: float = 0.04) -> float:
    """Learning-rate factor in [floor, 1]: cosine up over the first part, cosine down over the rest."""
    warm = max(1.0, warm_fraction * num_steps)
    after = (step - warm) / max(1.0, num_steps - warm)
    position = 1.0 - step / warm if step < warm else min(1.0, after)
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * position))
