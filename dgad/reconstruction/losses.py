"""Losses on what a memory answers, as pure functions."""

# Q latents (every location of every image), N slots

import torch
from torch import Tensor

EPSILON = 1e-12


def entropy_loss(weight_QN: Tensor) -> Tensor:
    """Mean entropy of the addressing weights in nats, 0 to ln N (MemAE): small where few slots are read."""
    return -(weight_QN * (weight_QN + EPSILON).log()).sum(1).mean()


def trust_region_loss(nearest_Q: Tensor, *, radius: float, limit: float) -> Tensor:
    """Mean of r d, where d is the distance of a latent to its nearest slot (TrustMAE).

    r is +1 where d <= radius, which pulls the slot to the latent; -1 up to `limit`, which pushes it from
    what is taken for noise; 0 beyond.
    """
    inside_Q = nearest_Q <= radius
    between_Q = (nearest_Q > radius) & (nearest_Q <= limit)
    return ((inside_Q.to(nearest_Q) - between_Q.to(nearest_Q)) * nearest_Q).mean()


def margin_loss(first_Q: Tensor, second_Q: Tensor, *, margin: float) -> Tensor:
    """Mean of max(0, d1 - d2 + margin) over the nearest two slots: keeps slots apart (TrustMAE)."""
    return torch.relu(first_Q - second_Q + margin).mean()
