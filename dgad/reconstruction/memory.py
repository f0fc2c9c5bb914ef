"""Memories of latents: each latent is replaced by a sparse convex combination of learnt slots.

Slots are weighted by shrunk similarity (MemAE, Gong et al., ICCV 2019), or the nearest are taken (TrustMAE,
Tan et al., WACV 2021).
"""

# Q latents (every location of every image), N slots, C channels, k nearest slots

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgad.reconstruction.losses import entropy_loss, margin_loss, trust_region_loss
from dgad.reconstruction.settings import MemAESettings, TrustMAESettings

EPSILON = 1e-12


def hard_shrink(weight_QN: Tensor, threshold: float) -> Tensor:
    """Weights at or below the threshold become 0, the others stay as they are: not normalised yet."""
    above_QN = weight_QN - threshold
    return F.relu(above_QN) * weight_QN / (above_QN.abs() + EPSILON)


def shrunk_addressing(latent_QC: Tensor, slot_NC: Tensor, *, threshold: float, temperature: float) -> Tensor:
    """Weights (Q, N), summing to one: softmax of cosine similarity / temperature, shrunk, renormalised.

    Where no weight is above the threshold there is nothing left to normalise: such a latent keeps its
    softmax as it is, so that what it reads and its gradient stay defined.
    """
    similarity_QN = F.normalize(latent_QC, dim=1) @ F.normalize(slot_NC, dim=1).T
    weight_QN = F.softmax(similarity_QN / temperature, dim=1)
    shrunk_QN = hard_shrink(weight_QN, threshold)
    sum_Q1 = shrunk_QN.sum(1, keepdim=True)
    # Divided by 1 where the sum is 0: the branch that `where` leaves out must have a finite gradient too.
    kept_QN = shrunk_QN / torch.where(sum_Q1 > 0, sum_Q1, torch.ones_like(sum_Q1))
    return torch.where(sum_Q1 > 0, kept_QN, weight_QN)


def slot_distances(latent_QC: Tensor, slot_NC: Tensor) -> Tensor:
    """Root mean square over the channels of latent minus slot, shape (Q, N)."""
    squared_QN = latent_QC.square().sum(1, keepdim=True) - 2 * latent_QC @ slot_NC.T + slot_NC.square().sum(1)
    # The square root has no gradient at 0, and rounding can bring a small distance below it.
    return (squared_QN / latent_QC.shape[1]).clamp_min(EPSILON).sqrt()


def nearest_addressing(distance_QN: Tensor, *, num_nearest: int, temperature: float) -> Tensor:
    """Weights (Q, N), summing to one: softmax of -distance / temperature over the k nearest slots, else 0."""
    nearest = distance_QN.topk(num_nearest, dim=1, largest=False)
    weight_Qk = F.softmax(-nearest.values / temperature, dim=1)
    return torch.zeros_like(distance_QN).scatter(1, nearest.indices, weight_Qk)


class Bottleneck(nn.Module):
    """Between encoder and decoder: the plain autoencoder's lets everything through."""

    def forward(self, latent_QC: Tensor) -> tuple[Tensor, Tensor]:
        """What the decoder is given instead, (Q, C), and a weighted loss, a scalar."""
        return latent_QC, latent_QC.new_zeros(())


class ShrunkMemory(Bottleneck):
    """MemAE's memory and its entropy loss."""

    def __init__(self, settings: MemAESettings) -> None:
        super().__init__()
        self.settings = settings
        self.slot_NC = nn.Parameter(torch.randn(settings.num_slots, settings.width))

    def forward(self, latent_QC: Tensor) -> tuple[Tensor, Tensor]:
        """Combinations of slots, and the entropy of their weights."""
        threshold = self.settings.shrinkage / self.settings.num_slots
        weight_QN = shrunk_addressing(
            latent_QC, self.slot_NC, threshold=threshold, temperature=self.settings.temperature
        )
        return weight_QN @ self.slot_NC, self.settings.entropy_weight * entropy_loss(weight_QN)


class TrustMemory(Bottleneck):
    """TrustMAE's memory, its trust-region loss and its margin loss."""

    def __init__(self, settings: TrustMAESettings) -> None:
        super().__init__()
        self.settings = settings
        self.slot_NC = nn.Parameter(torch.randn(settings.num_slots, settings.width))

    def forward(self, latent_QC: Tensor) -> tuple[Tensor, Tensor]:
        """Combinations of the nearest slots, and both losses."""
        settings = self.settings
        distance_QN = slot_distances(latent_QC, self.slot_NC)
        weight_QN = nearest_addressing(
            distance_QN, num_nearest=settings.num_nearest, temperature=settings.temperature
        )
        first_Q, second_Q = distance_QN.topk(2, dim=1, largest=False).values.unbind(1)
        trust = trust_region_loss(first_Q, radius=settings.trust_radius, limit=settings.trust_limit)
        apart = margin_loss(first_Q, second_Q, margin=settings.margin)
        return weight_QN @ self.slot_NC, settings.trust_weight * trust + settings.margin_weight * apart
