"""A coreset of patches: few that leave no patch far away (greedy k-centre, as PatchCore selects its memory).

Sener and Savarese, *Active Learning for Convolutional Neural Networks: A Core-Set Approach*, ICLR 2018; the
random projection before it as in Roth et al., *Towards Total Recall in Industrial Anomaly Detection*, CVPR
2022. Details follow anomalib's `KCenterGreedy`.
"""

# K patches, C channels, D projected channels, M selected, B candidates

import torch
from torch import Tensor

_PROJECTION_EPS = 0.9
"""Distortion that the projection may cause; as in the papers' code and anomalib."""
_CANDIDATES = 512
_ROWS, _COLUMNS = 4096, 1024
"""Pairs that are held at once: 16 MiB."""


@torch.no_grad()
def coreset(patch_KC: Tensor, num_selected: int, *, seed: int) -> Tensor:
    """Indices (M,) of the patches that cover all of them best; of few enough all, in their own order.

    Distances are taken after a sparse random projection. The start and the projection are drawn from the
    seed. Time is O(M x K x D), memory O(K x D).
    """
    if num_selected >= len(patch_KC):
        return torch.arange(len(patch_KC), device=patch_KC.device)
    generator = torch.Generator().manual_seed(seed)
    start = int(torch.randint(len(patch_KC), (), generator=generator))
    # Takes a second and 100 MB to import, which every process of a search would pay, its driver too.
    from sklearn.random_projection import johnson_lindenstrauss_min_dim

    dimension = int(johnson_lindenstrauss_min_dim(max(2, len(patch_KC)), eps=_PROJECTION_EPS))
    return greedy_centres(project(patch_KC, dimension, seed=seed), num_selected, start=start)[0]


def project(patch_KC: Tensor, dimension: int, *, seed: int) -> Tensor:
    """The patches (K, D) after a sparse random projection to `dimension` channels.

    Unchanged where that would not be smaller: a projection could then only distort.
    """
    if dimension >= patch_KC.shape[1]:
        return patch_KC
    from sklearn.random_projection import SparseRandomProjection

    projection = SparseRandomProjection(n_components=dimension, random_state=seed % 2**32)
    components_DC = projection.fit(patch_KC[:1].cpu().numpy()).components_.toarray()
    return patch_KC @ torch.from_numpy(components_DC).to(patch_KC).t()


@torch.no_grad()
def greedy_centres(patch_KC: Tensor, num_centres: int, *, start: int) -> tuple[Tensor, Tensor]:
    """Indices (M,) of centres, `start` first, each the patch farthest from those before it; no index twice.

    The second is the covering radius, (): how far the farthest patch is from the nearest centre.

    Patches can only come nearer as centres are added. So among the few that are farthest now the next ones
    are found without a look at the others, as long as they stay farther than the farthest of those; a
    product of matrices then brings all distances up to date. The centres are those of the plain loop, but
    for patches about equally far in single precision.
    """
    patch_KC = (patch_KC - patch_KC.mean(0)).nan_to_num(0.0, 0.0, 0.0)  # around the mean less cancels
    nearest_K = patch_KC.new_full((len(patch_KC),), torch.inf)  # squared: no root changes the order
    chosen = torch.tensor([start], device=patch_KC.device)
    centres = [chosen]
    num_missing = num_centres - 1
    while True:
        torch.minimum(nearest_K, _squared_distances(patch_KC, patch_KC[chosen]), out=nearest_K)
        nearest_K[chosen] = -1.0  # below a duplicate's 0
        if num_missing <= 0:
            return torch.cat(centres), nearest_K.amax().clamp_min(0).sqrt()
        farthest = nearest_K.topk(min(_CANDIDATES + 1, len(patch_KC)))
        others = float(farthest.values[-1]) if len(patch_KC) > _CANDIDATES else -torch.inf
        candidate_B = farthest.indices[:_CANDIDATES]
        picked = _pick(patch_KC[candidate_B], farthest.values[:_CANDIDATES], others, num_missing)
        chosen = candidate_B[torch.tensor(picked, device=candidate_B.device)]
        centres.append(chosen)
        num_missing -= len(picked)


def _pick(patch_BC: Tensor, nearest_B: Tensor, others: float, most: int) -> list[int]:
    """Greedy centres among the candidates, while each is at least as far as `others`; the first always."""
    between_BB = torch.cdist(patch_BC, patch_BC).square_().cpu()
    nearest_B = nearest_B.cpu().clone()
    picked: list[int] = []
    while len(picked) < min(most, len(nearest_B)):
        index = int(nearest_B.argmax())
        if picked and float(nearest_B[index]) < others:
            break
        picked.append(index)
        torch.minimum(nearest_B, between_BB[index], out=nearest_B)
        nearest_B[picked] = -2.0  # below what was chosen before
    return picked


def _squared_distances(patch_KC: Tensor, centre_MC: Tensor) -> Tensor:
    """Squared L2 distance (K,) of every patch to the nearest centre, by |p|^2 - 2 p c + |c|^2.

    Both should lie around 0. Holds 16 MiB beside its answer.
    """
    square_M = centre_MC.square().sum(1)
    nearest_K = patch_KC.new_full((len(patch_KC),), torch.inf)
    for top in range(0, len(patch_KC), _ROWS):
        rows = slice(top, top + _ROWS)
        for left in range(0, len(centre_MC), _COLUMNS):
            part = slice(left, left + _COLUMNS)
            order_KM = torch.addmm(square_M[part], patch_KC[rows], centre_MC[part].t(), alpha=-2)
            nearest_K[rows] = torch.minimum(nearest_K[rows], order_KM.amin(1))
    return (nearest_K + patch_KC.square().sum(1)).clamp_min_(0)
