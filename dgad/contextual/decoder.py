"""The decoder: from the evidence of every level and its neighbourhood to one logit a patch."""

# B blocks, C_i channels and h_i w_i cells of level i, W the decoder's width

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgad.contextual.evidence import NUM_MEASURES, Evidence

_USUAL_SIZE = 0.7
"""Of a residual in its channel's deviations."""


class Decoder(nn.Module):
    """A plain distance, and what the decoder learns to add to it; it starts with nothing to add.

    From the coarsest level to the finest: residuals projected, joined with the measures and with what the
    coarser levels found, and mixed with their neighbours.
    """

    reach_cells = 4
    """Cells of the coarsest level that a logit looks at beyond its own, with those that are interpolated."""

    def __init__(self, channels: Sequence[int], width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        self.project = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        coarsest = len(channels) - 1
        self.mix = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width + NUM_MEASURES + (width if i < coarsest else 0), width, 1),
                nn.GELU(),
                _neighbours(width),
                nn.GELU(),
            )
            for i in range(len(channels))
        )
        self.last = nn.Sequential(_neighbours(width), nn.GELU())
        self.out = nn.Conv2d(width, 1, 1)
        self.slope = nn.Parameter(torch.ones(()))
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, evidence: Evidence) -> Tensor:
        """Anomaly logit per patch of the finest level, (B, h, w); higher is more anomalous."""
        found: Tensor | None = None
        for i in reversed(range(len(self.project))):
            residual = self.dropout(evidence.residuals[i])
            parts = [F.gelu(self.project[i](residual - _USUAL_SIZE)), evidence.measures[i]]
            if found is not None:
                parts.append(F.interpolate(found, size=residual.shape[-2:], mode="bilinear"))
            found = self.mix[i](torch.cat(parts, dim=1))
        correction: Tensor = self.out(self.last(found))[:, 0]
        return self.slope * evidence.plain_Bhw + correction


def _neighbours(width: int) -> nn.Conv2d:
    return nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate")
