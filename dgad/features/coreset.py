"""A coreset of patches: few that leave no patch far away (greedy k-centre, as PatchCore selects its memory).

Sener and Savarese, *Active Learning for Convolutional Neural Networks: A Core-Set Approach*, ICLR 2018; the
random projection before it as in Roth et al., *Towards Total Recall in Industrial Anomaly Detection*, CVPR
2022. Details follow anomalib's `KCenterGreedy`.
"""

# K patches, C channels, D projected channels, M selected

import torch
from torch import Tensor

_PROJECTION_EPS = 0.9
"""Distortion that the projection may cause; as in the papers' code and anomalib."""


@torch.no_grad()
def coreset(patch_KC: Tensor, ratio: float, *, seed: int) -> Tensor:
    """Indices (M,) of the `ratio` of the patches that cover all of them best, M at least 1.

    Distances are taken after a sparse random projection. `ratio` in (0, 1]; 1 keeps every patch, in their
    own order. The start and the projection are drawn from the seed. Time is O(M x K x D), memory O(K x D).
    """
    num_selected = max(1, int(len(patch_KC) * ratio))
    if num_selected >= len(patch_KC):
        return torch.arange(len(patch_KC), device=patch_KC.device)
    generator = torch.Generator().manual_seed(seed)
    start = int(torch.randint(len(patch_KC), (), generator=generator))
    return greedy_centres(_project(patch_KC, seed=seed), num_selected, start=start)


def _project(patch_KC: Tensor, *, seed: int) -> Tensor:
    """The patches (K, D) after a sparse random projection to the Johnson-Lindenstrauss dimension.

    Unchanged where that would not be smaller: a projection could then only distort.
    """
    # Takes a second and 100 MB to import, which every process of a search would pay, its driver too.
    from sklearn.random_projection import SparseRandomProjection, johnson_lindenstrauss_min_dim

    num_patches, num_channels = patch_KC.shape
    dimension = int(johnson_lindenstrauss_min_dim(max(2, num_patches), eps=_PROJECTION_EPS))
    if dimension >= num_channels:
        return patch_KC
    projection = SparseRandomProjection(n_components=dimension, random_state=seed % 2**32)
    components_DC = projection.fit(patch_KC[:1].cpu().numpy()).components_.toarray()
    return patch_KC @ torch.from_numpy(components_DC).to(patch_KC).t()


@torch.no_grad()
def greedy_centres(patch_KC: Tensor, num_centres: int, *, start: int) -> Tensor:
    """Indices (M,) of centres, `start` first, each the patch farthest from those before it; no index twice.

    Holds a second copy of the patches.
    """
    difference_KC = torch.empty_like(patch_KC)
    nearest_K = patch_KC.new_full((len(patch_KC),), torch.inf)  # squared: no root changes the order
    chosen = torch.tensor(start, device=patch_KC.device)
    centres = [chosen]
    for _ in range(num_centres - 1):
        # Not by |p|^2 - 2 p c: the cancellation would choose among patches that are nearly covered.
        torch.sub(patch_KC, patch_KC[chosen], out=difference_KC)
        torch.minimum(nearest_K, difference_KC.square_().sum(1), out=nearest_K)
        nearest_K[chosen] = -1.0  # below a duplicate's 0
        chosen = nearest_K.argmax()
        centres.append(chosen)
    return torch.stack(centres)
