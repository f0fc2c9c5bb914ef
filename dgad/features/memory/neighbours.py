"""The nearest patches of other images, for every patch of a set: each pair is looked at once."""

# K patches, C channels, A neighbours; a tile holds n rows and m columns of the K x K squared distances

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_TILE = 2048
"""Patches a side of the pairs that are held at once: 16 MiB."""
_GROUP = 16
_FAR = 1e30
"""Of no pair; finite, so that no product with it is undefined."""


@torch.no_grad()
def nearest_of_others(
    patch_KC: Tensor, owner_K: Tensor, count: int, *, tile: int = _TILE
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the `count` nearest patches of other images; `owner_K` says whose each patch is.

    Returns squared L2 distances, indices, and whether there are so many; ascending, (K, count) each.

    In single precision patches about equally far may change places. Distances are symmetric, so a tile
    serves its rows and its columns.
    """
    order_K = owner_K.argsort(stable=True)  # an image's own pairs are then blocks on the diagonal
    owner_K = owner_K[order_K]
    first_K = torch.searchsorted(owner_K, owner_K).tolist()
    after_K = torch.searchsorted(owner_K, owner_K, right=True).tolist()
    left_KD, right_DK = _factors(patch_KC[order_K])
    starts = range(0, len(left_KD), tile)
    distance_KA = left_KD.new_full((len(left_KD), len(starts) * count), _FAR)
    index_KA = torch.zeros(distance_KA.shape, dtype=torch.int64, device=distance_KA.device)

    def keep(at: int, of: int, found: tuple[Tensor, Tensor]) -> None:
        rows = slice(at, at + len(found[0]))
        columns = slice(of // tile * count, (of // tile + 1) * count)
        distance_KA[rows, columns], index_KA[rows, columns] = found[0], found[1] + of

    for top in starts:
        for left in starts[top // tile :]:
            square_nm = left_KD[top : top + tile] @ right_DK[:, left : left + tile]
            row = top
            while row < min(top + tile, len(owner_K)):
                stop = min(after_K[row], top + tile)
                own = slice(max(first_K[row] - left, 0), max(after_K[row] - left, 0))
                square_nm[row - top : stop - top, own] = _FAR
                row = stop
            keep(top, left, _smallest_of_rows(square_nm, count))
            if left > top:
                keep(left, top, _smallest_of_columns(square_nm, count))
    best = distance_KA[: len(owner_K)].topk(count, dim=1, largest=False)
    chosen_KA = index_KA[: len(owner_K)].gather(1, best.indices)
    is_there_KA = best.values < _FAR / 2
    chosen_KA = torch.where(is_there_KA, order_K[chosen_KA.clamp(max=len(order_K) - 1)], 0)
    back_K = order_K.argsort()
    return best.values.clamp_min(0)[back_K], chosen_KA[back_K], is_there_KA[back_K]


def _factors(patch_KC: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices whose product holds |a - b|^2 = |a|^2 - 2 a b + |b|^2.

    Filled up to whole groups with patches that are far from all.
    """
    centred_KC = patch_KC - patch_KC.mean(0)  # around the mean less cancels
    square_K = centred_KC.square().sum(1)
    num_missing = -len(patch_KC) % _GROUP
    one_K, far = torch.ones_like(square_K), square_K.new_full((num_missing,), _FAR)
    filled = centred_KC.new_zeros((num_missing, patch_KC.shape[1]))
    patch, square = torch.cat((centred_KC, filled)), torch.cat((square_K, far))[:, None]
    one = torch.cat((one_K, torch.ones_like(far)))[:, None]
    return torch.cat((-2 * patch, square, one), dim=1), torch.cat(
        (patch, one, square), dim=1
    ).t().contiguous()


def _smallest_of_rows(square_nm: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` smallest values of every row and their columns, (n, count) each.

    The values of groups with the smallest minima are looked at alone. Filled up where there are fewer
    columns.
    """
    num_rows, num_columns = square_nm.shape
    if num_columns // _GROUP <= count:
        return _filled(square_nm, count)
    minima = square_nm.view(num_rows, -1, _GROUP).amin(2)
    return _of_groups(minima, count, lambda place: square_nm.gather(1, place))


def _smallest_of_columns(square_nm: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The same for columns, (m, count) each, without turning the tile."""
    num_rows, num_columns = square_nm.shape
    if num_rows // _GROUP <= count:
        return _filled(square_nm.t(), count)
    minima = square_nm.view(-1, _GROUP, num_columns).amin(1).t()
    return _of_groups(minima, count, lambda place: square_nm.gather(0, place.t()).t())


def _of_groups(minima: Tensor, count: int, values_at: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    group = minima.topk(count, dim=1, largest=False, sorted=False).indices
    place = (group[:, :, None] * _GROUP + torch.arange(_GROUP, device=group.device)).flatten(1)
    found = values_at(place).topk(count, dim=1, largest=False)
    return found.values, place.gather(1, found.indices)


def _filled(square: Tensor, count: int) -> tuple[Tensor, Tensor]:
    found = square.topk(min(count, square.shape[1]), dim=1, largest=False)
    missing = (0, count - found.values.shape[1])
    return (
        F.pad(found.values, missing, value=_FAR),
        F.pad(found.indices, missing),
    )
