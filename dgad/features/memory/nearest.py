"""The nearest of many reference patches, and what distance is usual around each of them."""

# Q queries, K references, C channels

import torch
from torch import Tensor

from dgad.features.memory.neighbours import nearest_of_others

ROWS, COLUMNS = 1024, 2048
"""Pairs that are held at once."""


@torch.no_grad()
def nearest_patches(
    query_QC: Tensor, reference_KC: Tensor, *, farthest: bool = False, tile: int | None = None
) -> tuple[Tensor, Tensor]:
    """L2 distance to the nearest (or the farthest) reference patch, and its index; (Q,) each.

    |r|^2 - 2 q r orders references as the distance does, by one product and no root. In single precision
    patches about equally far may change places; the distance is computed from the pair that was chosen.
    A NaN is the nearest and the farthest of all. Holds O(1024 x tile) numbers.
    """
    # Around the references' mean less cancels; any other point will do where they have none.
    mean_C = reference_KC.mean(0).nan_to_num(0.0, 0.0, 0.0)
    query, reference = query_QC - mean_C, reference_KC - mean_C
    sign = -1.0 if farthest else 1.0
    square_K = reference.square().sum(1)
    columns = tile or COLUMNS
    smallest_Q = query.new_full((len(query),), torch.inf)
    index_Q = torch.zeros(len(query), dtype=torch.int64, device=query.device)
    for top in range(0, len(query), ROWS):
        rows = slice(top, top + ROWS)
        for left in range(0, len(reference), columns):
            part = slice(left, left + columns)
            order_QK = torch.addmm(sign * square_K[part], query[rows], reference[part].t(), alpha=-2 * sign)
            found = order_QK.min(1)
            better = (found.values < smallest_Q[rows]) | found.values.isnan()  # a NaN must win and stay
            smallest_Q[rows] = torch.where(better, found.values, smallest_Q[rows])
            index_Q[rows] = torch.where(better, found.indices + left, index_Q[rows])
    distance_Q = torch.linalg.vector_norm(query_QC - reference_KC.index_select(0, index_Q), dim=1)
    return distance_Q, index_Q


@torch.no_grad()
def usual_distances(reference_KC: Tensor, owner_K: Tensor, *, num_neighbours: int = 5) -> Tensor:
    """What distance is usual around each reference patch, (K,), with mean 1 or nearly so.

    A surface seldom varies alike everywhere: patches on a seam lie farther from each other than patches
    of the ground. Dividing by this brings both to one scale.

    A patch's own distance is that to the nearest patch of another reference image (`owner_K` says whose
    each is); around it these are averaged over its neighbours, and halfway to the mean over all, so that
    no divisor is small. Ones where there is no other image.
    """
    if len(owner_K) == 0 or bool((owner_K == owner_K[0]).all()):
        return torch.ones_like(reference_KC[:, 0])
    square_KA, neighbour_KA, is_there_KA = nearest_of_others(reference_KC, owner_K, num_neighbours)
    own_K = square_KA[:, 0].sqrt()
    mean = own_K.mean().clamp_min(1e-6)
    around_K = (own_K[neighbour_KA] * is_there_KA).sum(1) / is_there_KA.sum(1)
    return (around_K / mean + 1) / 2
