"""Mean and variance of patches that come bit by bit, in double precision."""

# P patches, C channels

import torch
from torch import Tensor


class Moments:
    """What has been added so far, per channel."""

    def __init__(self) -> None:
        self.count = 0
        self._sum_C = torch.zeros(0)
        self._square_C = torch.zeros(0)
        self._origin_C = torch.zeros(0)

    def add(self, patch_PC: Tensor) -> None:
        """Take more patches."""
        if len(patch_PC) == 0:
            return
        patch_PC = patch_PC.double()
        if self.count == 0:
            self._origin_C = patch_PC.mean(0)  # around it nothing cancels
            self._sum_C = torch.zeros_like(self._origin_C)
            self._square_C = torch.zeros_like(self._origin_C)
        centred_PC = patch_PC - self._origin_C
        self.count += len(patch_PC)
        self._sum_C = self._sum_C + centred_PC.sum(0)
        self._square_C = self._square_C + centred_PC.square().sum(0)

    @property
    def mean(self) -> Tensor:
        """Mean of all patches, float64 (C,)."""
        return self._origin_C + self._sum_C / self.count

    @property
    def variance(self) -> Tensor:
        """Float64 (C,), divided by the number of patches."""
        return (self._square_C / self.count - (self._sum_C / self.count).square()).clamp_min(0)
