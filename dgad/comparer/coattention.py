"""Co-attention (section 2.3 of the paper): how alike query and reference patches are in a latent space."""

# B queries, P patches of a query, Q = B P, K reference patches, C channels, E latent channels

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgad.errors import DataError
from dgad.settings import require

_AttentionRange = Literal["shifted_cosine", "min_max"]

_BLOCK_PAIRS = 2**20
"""Cosines alive at a time: 4 MiB."""


class CoAttention(nn.Module):
    """Cosine similarity after one linear map that queries and references share, brought to [0, 1].

    `shifted_cosine` is (1 + cos) / 2. `min_max` stretches each query's matrix to [0, 1], the other reading
    of "normalizing the attention matrix": its minimum is always 0, which leaves Eq. 3 constant.
    """

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        self.latent = nn.Linear(channels, latent, bias=False)

    def attend(
        self,
        query_BPC: Tensor,
        reference_KC: Tensor,
        attention_range: _AttentionRange = "shifted_cosine",
    ) -> tuple[Tensor, Tensor]:
        """max_k a_jk of each patch, shape (B, P), and min_jk a_jk of each query, shape (B,), in [0, 1].

        Differentiable; never keeps the B P x K matrix, but finds the deciding pairs first.
        """
        allowed = ("shifted_cosine", "min_max")
        require(
            attention_range in allowed, "attention_range", "one of " + ", ".join(allowed), attention_range
        )
        if reference_KC.shape[0] < 1:
            raise DataError("At least 1 reference patch is needed for co-attention, but got 0.")
        query_BPE = F.normalize(self.latent(query_BPC), dim=-1)
        reference_KE = F.normalize(self.latent(reference_KC), dim=-1)
        nearest_BP, farthest_BP, lowest_BP = _extremes(query_BPE, reference_KE)
        # `index_select`: the backward of reference_KE[...] adds in an order that differs between runs.
        nearest_BPE = reference_KE.index_select(0, nearest_BP.flatten()).view_as(query_BPE)
        highest_BP = _shifted((query_BPE * nearest_BPE).sum(-1))
        patch_B1 = lowest_BP.argmin(1, keepdim=True)
        farthest_B = farthest_BP.gather(1, patch_B1)[:, 0]
        patch_BE = query_BPE.gather(1, patch_B1[:, :, None].expand(-1, -1, query_BPE.shape[2]))[:, 0]
        minimum_B = _shifted((patch_BE * reference_KE.index_select(0, farthest_B)).sum(-1))
        if attention_range == "shifted_cosine":
            return highest_BP, minimum_B
        # max - min may be 0 where all patches are alike: then all are attended to least.
        spread_B = (highest_BP.amax(1) - minimum_B).clamp_min(torch.finfo(minimum_B.dtype).eps)
        stretched_BP = (highest_BP - minimum_B[:, None]) / spread_B[:, None]
        return stretched_BP.clamp(0, 1), minimum_B - minimum_B


def _shifted(cosine: Tensor) -> Tensor:
    """(1 + cos) / 2, with rounding kept inside [0, 1]."""
    return ((1 + cosine) / 2).clamp(0, 1)


@torch.no_grad()
def _extremes(query_BPE: Tensor, reference_KE: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Per query patch: the nearest and the farthest reference, int64 (B, P), and the farthest's cosine."""
    query_QE = query_BPE.flatten(0, 1)
    num_queries, num_references = query_QE.shape[0], reference_KE.shape[0]
    num_columns = min(num_references, 8192)
    num_rows = max(1, _BLOCK_PAIRS // num_columns)
    nearest, farthest, lowest = [], [], []
    for top in range(0, num_queries, num_rows):
        rows = query_QE[top : top + num_rows]
        high, low = rows.new_full((rows.shape[0],), -torch.inf), rows.new_full((rows.shape[0],), torch.inf)
        high_index = torch.zeros(rows.shape[0], dtype=torch.int64, device=rows.device)
        low_index = high_index.clone()
        for left in range(0, num_references, num_columns):
            cosine = rows @ reference_KE[left : left + num_columns].t()
            value, index = cosine.max(1)
            better = value > high
            high, high_index = torch.where(better, value, high), torch.where(better, index + left, high_index)
            value, index = cosine.min(1)
            better = value < low
            low, low_index = torch.where(better, value, low), torch.where(better, index + left, low_index)
        nearest.append(high_index)
        farthest.append(low_index)
        lowest.append(low)
    if not nearest:
        empty = torch.zeros(query_BPE.shape[:2], dtype=torch.int64, device=query_BPE.device)
        return empty, empty, query_BPE.new_zeros(query_BPE.shape[:2])
    size = query_BPE.shape[:2]
    return torch.cat(nearest).view(size), torch.cat(farthest).view(size), torch.cat(lowest).view(size)
