"""Momentum metric learning: a queue of embeddings, an averaged encoder, semi-hard triplets."""

# B queries, Q embeddings in the queue, E their width, T triplets, K negatives of one pair

import torch
from torch import Tensor, nn


class EmbeddingQueue:
    """The last `size` embeddings with their labels: first in, first out."""

    def __init__(self, size: int, width: int, device: torch.device) -> None:
        self.size = size
        self.embeddings_QE = torch.zeros(0, width, device=device)
        self.labels_Q = torch.zeros(0, dtype=torch.int64, device=device)

    def push(self, embeddings_BE: Tensor, labels_B: Tensor) -> None:
        """Append a batch, and drop the oldest beyond `size`."""
        self.embeddings_QE = torch.cat((self.embeddings_QE, embeddings_BE.detach()))[-self.size :]
        self.labels_Q = torch.cat((self.labels_Q, labels_B))[-self.size :]


@torch.no_grad()
def move_average(average: nn.Module, current: nn.Module, decay: float) -> None:
    """Every weight of `average` becomes decay * itself + (1 - decay) * that of `current`."""
    for kept, new in zip(average.parameters(), current.parameters(), strict=True):
        kept.lerp_(new, 1.0 - decay)


def squared_distances(a_BE: Tensor, b_QE: Tensor) -> Tensor:
    """Squared Euclidean distances (B, Q); 0 to 4 for embeddings of length 1."""
    square_B1, square_1Q = a_BE.square().sum(1)[:, None], b_QE.square().sum(1)[None]
    return square_B1 + square_1Q - 2.0 * a_BE @ b_QE.T


def semi_hard_triplets(
    positive_BB: Tensor,
    negative_BQ: Tensor,
    labels_B: Tensor,
    labels_Q: Tensor,
    *,
    margin: float,
    num_negatives: int,
    generator: torch.Generator,
) -> Tensor:
    """Indices (T, 3) of anchor, positive and negative; T is 0 where no triplet is semi-hard.

    `positive_BB` and `negative_BQ` are distances of the anchors (rows) from the batch and from the queue.
    Every ordered pair of two images of one class is an anchor and its positive; its negatives are at most K
    drawn without replacement from those of the other class in the queue that lie further than the positive,
    but by less than the margin.
    """
    same_BB = labels_B[:, None] == labels_B[None]
    anchor_P, partner_P = torch.nonzero(same_BB.fill_diagonal_(False), as_tuple=True)
    if len(anchor_P) == 0 or len(labels_Q) == 0:
        return torch.zeros(0, 3, dtype=torch.int64, device=labels_B.device)
    further_PQ = negative_BQ[anchor_P] - positive_BB[anchor_P, partner_P][:, None]
    other_PQ = labels_B[anchor_P][:, None] != labels_Q[None]
    semi_hard_PQ = other_PQ & (further_PQ > 0) & (further_PQ < margin)
    lot_PQ = torch.rand(semi_hard_PQ.shape, generator=generator).to(labels_B.device)
    drawn_PK = torch.where(semi_hard_PQ, lot_PQ, -1.0).topk(min(num_negatives, len(labels_Q)), dim=1).indices
    pair_T, place_T = torch.nonzero(semi_hard_PQ.gather(1, drawn_PK), as_tuple=True)
    return torch.stack((anchor_P[pair_T], partner_P[pair_T], drawn_PK[pair_T, place_T]), dim=1)


def triplet_loss(
    anchor_BE: Tensor,
    key_BE: Tensor,
    labels_B: Tensor,
    queue: EmbeddingQueue,
    *,
    margin: float,
    num_negatives: int,
    generator: torch.Generator,
) -> Tensor:
    """Mean of relu(d(anchor, positive) - d(anchor, negative) + margin) over semi-hard triplets; else 0.

    Anchors are embedded by the trained encoder, positives (`key_BE`) and negatives (the queue) by the
    averaged one; d is the squared distance. (Wang et al. 2020, ECCV.)
    """
    positive_BB = squared_distances(anchor_BE, key_BE)
    negative_BQ = squared_distances(anchor_BE, queue.embeddings_QE)
    anchor_T, partner_T, other_T = semi_hard_triplets(
        positive_BB.detach(),
        negative_BQ.detach(),
        labels_B,
        queue.labels_Q,
        margin=margin,
        num_negatives=num_negatives,
        generator=generator,
    ).unbind(1)
    if len(anchor_T) == 0:
        return anchor_BE.new_zeros(())
    return (positive_BB[anchor_T, partner_T] - negative_BQ[anchor_T, other_T] + margin).relu().mean()
