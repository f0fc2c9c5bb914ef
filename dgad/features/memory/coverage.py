"""A memory of reference patches that stays small whatever it is given: those kept cover all of the others."""

# P patches that are added, K held or kept, C channels

import torch
from torch import Tensor

from dgad.errors import DataError
from dgad.features.memory.coreset import greedy_centres, project
from dgad.settings import require

_PROJECTED = 64
"""Channels in which distances are taken; more take longer and gain nothing (benchmarks/memory_bound.py)."""
_BLOCK = 4096
"""Patches that are looked at together; what is kept does not depend on how they were handed over."""

_HELD = 256
"""Of those held, how many are asked at once whether they are near."""


class CoverageMemory:
    """At most `max_patches` patches of a stream, by greedy k-centre on a sparse random projection.

    Up to that number all are kept, in their order. Of up to twice that number the greedy centres are kept.
    Beyond, a patch is held only if it is farther from all that are held than the covering radius when they
    were last reduced; as soon as there are twice `max_patches`, they are reduced to their greedy centres.
    So every patch ever given lies within the sum of a few such radii of one that is kept, one for every
    reduction since; after the first ones few patches are far enough to be held at all.

    Holds `2 x max_patches + 4096` patches. Time is O(patches x max_patches). What is kept depends on the
    order of the patches and on the seed, which draws the projection.
    """

    def __init__(self, max_patches: int, *, seed: int = 0) -> None:
        require(max_patches >= 1, "max_patches", "at least 1", max_patches)
        self.max_patches = max_patches
        self.num_given = 0
        """Patches that were added so far."""
        self._seed = seed
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._num_waiting = 0
        self._patch_KC: Tensor | None = None
        self._owner_K = torch.zeros(0, dtype=torch.int64)
        self._place_KD = torch.zeros(0)
        self._uses_K = torch.zeros(0, dtype=torch.int64)
        """How many patches each was the nearest one to, of those asked."""
        self._radius = 0.0

    @torch.no_grad()
    def add(self, patch_PC: Tensor, owner: int) -> None:
        """Take patches of one reference, of which there may be several calls, one after the other."""
        self.num_given += len(patch_PC)
        for part_PC in torch.split(patch_PC, _BLOCK):
            room = _BLOCK - self._num_waiting
            for piece_PC in (part_PC[:room], part_PC[room:]):
                if len(piece_PC) == 0:
                    continue
                owner_P = torch.full((len(piece_PC),), owner, dtype=torch.int64, device=piece_PC.device)
                self._waiting.append((piece_PC.clone(), owner_P))  # a slice would keep all of them alive
                self._num_waiting += len(piece_PC)
                if self._num_waiting == _BLOCK:
                    self._take_waiting()

    @torch.no_grad()
    def result(self) -> tuple[Tensor, Tensor]:
        """The patches kept (K, C), as they came, and whose each is (K,); more may be added afterwards.

        Raises `DataError` where none was added.
        """
        self._take_waiting()
        if self._patch_KC is None or self.num_given == 0:
            raise DataError(
                "The references have no patch that counts: draw a larger region of interest, or give larger"
                " photographs."
            )
        if len(self._patch_KC) > self.max_patches:
            self._reduce()
        return self._patch_KC, self._owner_K

    def _take_waiting(self) -> None:
        if not self._waiting:
            return
        patch_PC, owner_P = (torch.cat(each) for each in zip(*self._waiting, strict=True))
        self._waiting, self._num_waiting = [], 0
        place_PD = project(patch_PC, _PROJECTED, seed=self._seed)
        if self._radius > 0:
            is_far_P = self._is_far(place_PD)
            patch_PC, owner_P, place_PD = patch_PC[is_far_P], owner_P[is_far_P], place_PD[is_far_P]
        if self._patch_KC is None:
            self._patch_KC, self._owner_K, self._place_KD = patch_PC, owner_P, place_PD
            self._uses_K = torch.zeros(len(patch_PC), dtype=torch.int64, device=patch_PC.device)
        else:
            self._patch_KC = torch.cat((self._patch_KC, patch_PC))
            self._owner_K = torch.cat((self._owner_K, owner_P))
            self._place_KD = torch.cat((self._place_KD, place_PD))
            self._uses_K = torch.cat((self._uses_K, torch.zeros_like(owner_P)))
        if len(self._patch_KC) > 2 * self.max_patches:
            self._reduce()

    def _is_far(self, place_PD: Tensor) -> Tensor:
        """Whether each (P,) is farther than the radius from all that are held.

        Those that were near most patches so far are asked first: few others are then left to be asked.
        """
        middle_D = self._place_KD.mean(0)  # around it less cancels
        place_PD, held_KD = place_PD - middle_D, self._place_KD - middle_D
        left_P = torch.arange(len(place_PD), device=place_PD.device)
        order_K = self._uses_K.argsort(descending=True, stable=True)
        for part in torch.split(order_K, _HELD):
            centre_MD, place_LD = held_KD[part], place_PD[left_P]
            order_LM = torch.addmm(centre_MD.square().sum(1), place_LD, centre_MD.t(), alpha=-2)
            found = order_LM.min(1)
            is_near_L = found.values + place_LD.square().sum(1) <= self._radius**2
            self._uses_K[part] += torch.bincount(found.indices[is_near_L], minlength=len(part))
            left_P = left_P[~is_near_L]
        return torch.zeros(len(place_PD), dtype=torch.bool, device=left_P.device).index_fill_(0, left_P, True)

    def _reduce(self) -> None:
        """Keep the greedy centres of what is held, the first of them the patch nearest to their mean."""
        assert self._patch_KC is not None
        start = (self._place_KD - self._place_KD.mean(0)).square().sum(1).nan_to_num(torch.inf).argmin()
        chosen, radius = greedy_centres(self._place_KD, self.max_patches, start=int(start))
        kept = chosen.sort().values
        self._radius = max(self._radius, float(radius))
        self._patch_KC, self._owner_K = self._patch_KC[kept], self._owner_K[kept]
        self._place_KD, self._uses_K = self._place_KD[kept], self._uses_K[kept]
