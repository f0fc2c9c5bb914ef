"""Losses against plain float64 loops."""

import math

import numpy as np
import pytest
import torch

from dgad.generalisation.losses import eisnet_loss, epi_fcr_loss, summed_cross_entropy


def logits(count: int, seed: int, width: int = 2) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3


def plain(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean of -log softmax at the label."""
    terms = []
    for row, label in zip(scores.numpy(), labels.tolist(), strict=True):
        terms.append(-math.log(math.exp(row[label]) / sum(math.exp(v) for v in row)))
    return float(np.mean(terms))


LABELS = [torch.tensor([0, 1, 1]), torch.tensor([1, 0]), torch.tensor([0, 0, 1, 1])]


def test_domains_weigh_alike_however_large() -> None:
    drawn = [logits(len(label), i) for i, label in enumerate(LABELS)]
    expected = sum(plain(a, b) for a, b in zip(drawn, LABELS, strict=True))
    assert math.isclose(float(summed_cross_entropy(drawn, LABELS)), expected, rel_tol=1e-12)


WEIGHTS = {"random_weight": 0.1, "classifier_weight": 0.05, "feature_weight": 2.0}


@pytest.mark.parametrize("without", [None, *WEIGHTS])
def test_epi_fcr_has_four_terms_of_the_stated_weights(without: str | None) -> None:
    weights = WEIGHTS | ({without: 0.0} if without else {})
    own = [logits(len(label), i) for i, label in enumerate(LABELS)]
    random = [logits(len(label), 10 + i) for i, label in enumerate(LABELS)]
    across, feature = logits(2, 20), logits(2, 21)
    loss = epi_fcr_loss(own, random, LABELS, across, feature, LABELS[1], **weights)
    expected = (
        sum(plain(a, b) for a, b in zip(own, LABELS, strict=True))
        + weights["random_weight"] * sum(plain(a, b) for a, b in zip(random, LABELS, strict=True))
        + weights["classifier_weight"] * plain(across, LABELS[1])
        + weights["feature_weight"] * plain(feature, LABELS[1])
    )
    assert math.isclose(float(loss), expected, rel_tol=1e-12)


def test_eisnet_adds_the_jigsaw_and_the_triplet_loss() -> None:
    classes, puzzles = logits(4, 0), logits(4, 1, width=31)
    labels, drawn = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 30, 7, 0])
    triplet = torch.tensor(1.7, dtype=torch.float64)
    loss = eisnet_loss(classes, labels, puzzles, drawn, triplet, jigsaw_weight=0.7, triplet_weight=0.5)
    expected = plain(classes, labels) + 0.7 * plain(puzzles, drawn) + 0.5 * 1.7
    assert math.isclose(float(loss), expected, rel_tol=1e-12)
