"""Losses as plain functions of logits and labels."""

# D domains, B queries of one domain, N queries of all domains

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def summed_cross_entropy(logits: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
    """Sum over domains of the mean cross-entropy in each: D logits (B, 2) and D labels (B,); at least 0."""
    return torch.stack([F.cross_entropy(a, b) for a, b in zip(logits, labels, strict=True)]).sum()


def epi_fcr_loss(
    class_logits: Sequence[Tensor],
    random_logits: Sequence[Tensor],
    labels: Sequence[Tensor],
    classifier_logits_B2: Tensor,
    feature_logits_B2: Tensor,
    episode_labels_B: Tensor,
    *,
    random_weight: float,
    classifier_weight: float,
    feature_weight: float,
) -> Tensor:
    """The aggregate step's loss of Li et al. 2019 (ICCV): cross-entropies of four classifications.

    `class_logits` and `random_logits` are those of C and of C_rand on F, by domain. Of the episode's domain
    `val`: `classifier_logits_B2` are those of C on another domain's features, `feature_logits_B2` those of
    another domain's classifier on F.
    """
    return (
        summed_cross_entropy(class_logits, labels)
        + random_weight * summed_cross_entropy(random_logits, labels)
        + classifier_weight * F.cross_entropy(classifier_logits_B2, episode_labels_B)
        + feature_weight * F.cross_entropy(feature_logits_B2, episode_labels_B)
    )


def eisnet_loss(
    class_logits_N2: Tensor,
    labels_N: Tensor,
    jigsaw_logits_NK: Tensor,
    permutations_N: Tensor,
    triplet: Tensor,
    *,
    jigsaw_weight: float,
    triplet_weight: float,
) -> Tensor:
    """Class cross-entropy, plus that of which permutation was applied, plus the triplet loss (a scalar)."""
    return (
        F.cross_entropy(class_logits_N2, labels_N)
        + jigsaw_weight * F.cross_entropy(jigsaw_logits_NK, permutations_N)
        + triplet_weight * triplet
    )
