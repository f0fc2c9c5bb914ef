"""The queue, the averaged encoder, semi-hard triplets and their loss."""

import numpy as np
import pytest
import torch
from torch import nn

from dgad.generalisation.metric import (
    EmbeddingQueue,
    move_average,
    semi_hard_triplets,
    squared_distances,
    triplet_loss,
)

CPU = torch.device("cpu")


def unit(count: int, seed: int, width: int = 5) -> torch.Tensor:
    drawn = torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return nn.functional.normalize(drawn, dim=1)


def queue_of(embeddings: torch.Tensor, labels: torch.Tensor) -> EmbeddingQueue:
    queue = EmbeddingQueue(1000, embeddings.shape[1], CPU)
    queue.embeddings_QE, queue.labels_Q = embeddings, labels
    return queue


def all_triplets(
    positive: torch.Tensor, negative: torch.Tensor, labels: list[int], others: list[int], margin: float
) -> set[tuple[int, int, int]]:
    """A plain loop over every anchor, positive and negative."""
    found = set()
    for a, label in enumerate(labels):
        for p, partner in enumerate(labels):
            if a == p or partner != label:
                continue
            for n, other in enumerate(others):
                further = float(negative[a, n]) - float(positive[a, p])
                if other != label and 0 < further < margin:
                    found.add((a, p, n))
    return found


@pytest.mark.parametrize("margin", [0.1, 0.5, 2.0])
def test_triplets_are_those_of_a_plain_loop_where_all_may_be_taken(margin: float) -> None:
    anchors, keys, kept = unit(8, 0), unit(8, 1), unit(30, 2)
    labels, others = torch.tensor([0, 1, 0, 1, 1, 0, 0, 1]), torch.arange(30) % 2
    positive, negative = squared_distances(anchors, keys), squared_distances(anchors, kept)
    found = semi_hard_triplets(
        positive,
        negative,
        labels,
        others,
        margin=margin,
        num_negatives=30,
        generator=torch.Generator().manual_seed(0),
    )
    expected = all_triplets(positive, negative, labels.tolist(), others.tolist(), margin)
    assert len(found) == len(expected) > 0
    assert {tuple(t) for t in found.tolist()} == expected


def test_at_most_k_negatives_a_pair_are_drawn_without_replacement_and_by_the_generator() -> None:
    anchors, keys, kept = unit(6, 0), unit(6, 1), unit(60, 2)
    labels, others = torch.tensor([0, 0, 0, 1, 1, 1]), torch.arange(60) % 2
    positive, negative = squared_distances(anchors, keys), squared_distances(anchors, kept)

    def draw(seed: int) -> list[tuple[int, ...]]:
        triplets = semi_hard_triplets(
            positive,
            negative,
            labels,
            others,
            margin=2.0,
            num_negatives=4,
            generator=torch.Generator().manual_seed(seed),
        )
        return [tuple(t) for t in triplets.tolist()]

    every = all_triplets(positive, negative, labels.tolist(), others.tolist(), 2.0)
    drawn = draw(0)
    assert set(drawn) < every
    assert len(set(drawn)) == len(drawn)
    for pair in {t[:2] for t in every}:
        there_are = sum(t[:2] == pair for t in every)
        assert sum(t[:2] == pair for t in drawn) == min(4, there_are)
    assert draw(0) == drawn
    assert draw(1) != drawn


@pytest.mark.parametrize("empty", ["one class everywhere", "queue empty", "none semi-hard", "no pair"])
def test_without_a_triplet_the_loss_is_0_and_has_a_gradient(empty: str) -> None:
    anchors = unit(4, 0).requires_grad_()
    keys, kept = unit(4, 1), unit(10, 2)
    labels, others = torch.tensor([0, 0, 1, 1]), torch.arange(10) % 2
    margin = 2.0
    if empty == "one class everywhere":
        labels, others = torch.zeros(4, dtype=torch.int64), torch.zeros(10, dtype=torch.int64)
    elif empty == "queue empty":
        kept, others = kept[:0], others[:0]
    elif empty == "none semi-hard":
        margin = 1e-9
    else:
        anchors, keys, labels = unit(1, 0).requires_grad_(), keys[:1], labels[:1]
    loss = triplet_loss(
        anchors,
        keys,
        labels,
        queue_of(kept, others),
        margin=margin,
        num_negatives=8,
        generator=torch.Generator().manual_seed(0),
    )
    assert float(loss) == 0.0
    (loss + anchors.sum()).backward()  # as one of several terms
    assert anchors.grad is not None


def test_loss_is_the_mean_over_a_plain_loop() -> None:
    anchors, keys, kept = unit(6, 3).requires_grad_(), unit(6, 4), unit(20, 5)
    labels, others = torch.tensor([0, 1, 0, 1, 0, 1]), torch.arange(20) % 2
    loss = triplet_loss(
        anchors,
        keys,
        labels,
        queue_of(kept, others),
        margin=1.0,
        num_negatives=20,
        generator=torch.Generator().manual_seed(0),
    )
    a, k, q = (t.detach().numpy() for t in (anchors, keys, kept))
    positive = np.array([[np.sum((x - y) ** 2) for y in k] for x in a])
    negative = np.array([[np.sum((x - y) ** 2) for y in q] for x in a])
    found = all_triplets(
        torch.from_numpy(positive), torch.from_numpy(negative), labels.tolist(), others.tolist(), 1.0
    )
    expected = np.mean([max(0.0, positive[i, j] - negative[i, n] + 1.0) for i, j, n in found])
    np.testing.assert_allclose(float(loss.detach()), expected, rtol=1e-10)
    loss.backward()
    assert anchors.grad is not None
    assert torch.isfinite(anchors.grad).all()
    assert anchors.grad.abs().max() > 0


def test_queue_keeps_the_last_ones_in_order_without_their_gradient() -> None:
    queue = EmbeddingQueue(5, 2, CPU)
    assert queue.embeddings_QE.shape == (0, 2)
    for start in (0, 3, 6):
        numbers = torch.arange(start, start + 3)
        queue.push(numbers[:, None].float().expand(3, 2).requires_grad_(), numbers)
    assert queue.labels_Q.tolist() == [4, 5, 6, 7, 8]
    assert queue.embeddings_QE[:, 0].tolist() == [4, 5, 6, 7, 8]
    assert not queue.embeddings_QE.requires_grad
    queue.push(torch.zeros(9, 2), torch.arange(9))
    assert queue.labels_Q.tolist() == [4, 5, 6, 7, 8]


def test_average_moves_by_one_minus_decay_and_leaves_the_current_alone() -> None:
    torch.manual_seed(0)
    average, current = nn.Linear(3, 2), nn.Linear(3, 2)
    before, now = average.weight.detach().clone(), current.weight.detach().clone()
    move_average(average, current, 0.75)
    torch.testing.assert_close(average.weight, 0.75 * before + 0.25 * now)
    assert torch.equal(current.weight, now)
    move_average(average, current, 0.0)
    torch.testing.assert_close(average.bias, current.bias)
