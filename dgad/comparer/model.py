"""The comparer's network: pyramid, meta-comparer and co-attention, from maps to patch logits."""

# B queries, R references, N images, C channels, P patches of one image, Q = B P, G pools of K reference
# patches, D projection width, h_i w_i the size of level i, S pixels a side

import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgad.comparer.bifpn import BiFPN
from dgad.comparer.coattention import CoAttention
from dgad.comparer.heads import make_head
from dgad.comparer.pairwise import pair_scores_decided, pair_scores_image_mean
from dgad.comparer.settings import ComparerSettings

_MAX_PRODUCT_ROWS = 2048
"""Above so many, smoothing by a product of matrices would cost more than it saves."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LevelStatistics:
    """What reference normalisation subtracts and divides by, for one level."""

    mean_C: Tensor
    std: Tensor
    """One scalar: dividing per channel would amplify channels that carry only noise."""

    def apply(self, map_NChw: Tensor) -> Tensor:
        """(map - mean) / std."""
        return (map_NChw - self.mean_C.view(1, -1, 1, 1)) / self.std


def reference_statistics(map_RChw: Tensor) -> LevelStatistics:
    """Per-channel mean and one scalar standard deviation of the references' features of a level."""
    mean_C = map_RChw.mean((0, 2, 3))
    variance = (map_RChw - mean_C.view(1, -1, 1, 1)).square().mean()
    return LevelStatistics(mean_C=mean_C, std=variance.sqrt().clamp_min(1e-6))


def patches(map_NChw: Tensor) -> Tensor:
    """Every cell of a feature map as a patch, shape (N, P, C)."""
    return map_NChw.flatten(2).transpose(1, 2)


def sample_patches(pool_KC: Tensor, num_patches: int, generator: torch.Generator) -> Tensor:
    """At most `num_patches` rows, drawn without replacement."""
    if num_patches >= pool_KC.shape[0]:
        return pool_KC
    chosen = torch.randperm(pool_KC.shape[0], generator=generator)[:num_patches]
    return pool_KC[chosen.to(pool_KC.device)]


def pool_patches(logit_BP: Tensor, settings: ComparerSettings) -> Tensor:
    """One logit per image, shape (B,): the maximum (Eq. 2, 5) or the mean of the top fraction."""
    if settings.score_pooling == "max":
        return logit_BP.amax(1)
    num_top = max(1, round(settings.top_fraction * logit_BP.shape[1]))
    return logit_BP.topk(num_top, dim=1).values.mean(1)


def gaussian_smooth(
    map_Bhw: Tensor, sigma_px: float, *, reach: float = 3.0, border: str = "replicate"
) -> Tensor:
    """Separable Gaussian smoothing, cut off at `reach` deviations; borders as `F.pad` names them."""
    radius = max(1, round(reach * sigma_px))
    offset = torch.arange(-radius, radius + 1, device=map_Bhw.device, dtype=map_Bhw.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma_px) ** 2)
    kernel = kernel / kernel.sum()
    return _smooth_rows(_smooth_rows(map_Bhw, kernel, border).mT, kernel, border).mT


def _smooth_rows(map_Bhw: Tensor, kernel: Tensor, border: str) -> Tensor:
    """Every column of the maps convolved with the kernel."""
    height, radius = map_Bhw.shape[-2], len(kernel) // 2
    place = torch.arange(-radius, height + radius, device=map_Bhw.device)
    if border == "reflect" and height > 1:
        place = place % (2 * (height - 1))
        place = torch.minimum(place, 2 * (height - 1) - place)
    place = place.clamp(0, height - 1)
    if height > _MAX_PRODUCT_ROWS:
        return F.conv2d(map_Bhw[:, None, place], kernel.view(1, 1, -1, 1))[:, 0]
    # Which rows each one is a mean of, K of them: a product with that is several times quicker than a
    # convolution of maps that have one channel.
    mean_hh = map_Bhw.new_zeros(height, height)
    mean_hh.scatter_add_(1, place.unfold(0, len(kernel), 1), kernel.expand(height, -1))
    return mean_hh @ map_Bhw


class Comparer(nn.Module):
    """Everything that is learnt after the backbone. `forward` is not used; the parts are called by name."""

    def __init__(self, in_channels: Sequence[int], settings: ComparerSettings) -> None:
        super().__init__()
        self.settings = settings
        self.pyramid = BiFPN(in_channels, settings.width, settings.bifpn_layers)
        # What starts from shipped weights is given them when it is fitted; until then any start will do.
        start = "difference" if settings.init == "builtin" else settings.init
        self.head = make_head(settings.head, settings.width, settings.hidden, start)
        self.attention = CoAttention(settings.width, settings.attention_width)

    def statistics(self, reference_maps: Sequence[Tensor]) -> tuple[LevelStatistics, ...]:
        """Per level; without `reference_norm` the identity."""
        if self.settings.reference_norm:
            return tuple(reference_statistics(m) for m in reference_maps)
        return tuple(
            LevelStatistics(mean_C=m.new_zeros(m.shape[1]), std=m.new_ones(())) for m in reference_maps
        )

    def embed(self, maps: Sequence[Tensor], statistics: Sequence[LevelStatistics]) -> list[Tensor]:
        """Backbone maps to the pyramid maps (N, C, h_i, w_i) that are compared (`scored_levels`)."""
        pyramid: list[Tensor] = self.pyramid([s.apply(m) for m, s in zip(maps, statistics, strict=True)])
        return pyramid if self.settings.scored_levels == "all" else pyramid[:1]

    def patch_logits(
        self,
        query_BPC: Tensor,
        pool_GKD: Tensor,
        *,
        usual_K: Tensor | None = None,
        compiled: bool = False,
    ) -> Tensor:
        """Anomaly logit per query patch, shape (B, P); higher is more anomalous (Eq. 1).

        `pool_GKD` holds projected reference patches: one common pool (G = 1), or one per reference image,
        whose logits are averaged (`reference_pooling`). Where patch k of a common pool decides, the
        distance is divided by `usual_K` (`density_correction`). `compiled` changes speed only.
        """
        projected_QD = self.head.project_query(query_BPC.flatten(0, 1))
        if usual_K is not None:
            decided_Q, chosen_Q = pair_scores_decided(
                projected_QD,
                pool_GKD[0],
                self.head,
                aggregation=self.settings.aggregation,
                compiled=compiled,
            )
            # A distance head's logit is scale x distance + bias.
            bias = self.head.form().bias
            return ((decided_Q - bias) / usual_K[chosen_Q] + bias).view(query_BPC.shape[:2])
        logit_Q = pair_scores_image_mean(
            projected_QD,
            pool_GKD,
            self.head,
            aggregation=self.settings.aggregation,
            temperature=self.settings.temperature,
            compiled=compiled,
        )
        return logit_Q.view(query_BPC.shape[:2])

    def draw_pools(self, reference_RPC: Tensor, num_patches: int, generator: torch.Generator) -> Tensor:
        """At most `num_patches` reference patches (G, K, C): one pool, or one per reference image."""
        if self.settings.reference_pooling == "patches":
            return sample_patches(reference_RPC.flatten(0, 1), num_patches, generator)[None]
        per_image = max(1, num_patches // reference_RPC.shape[0])
        return torch.stack([sample_patches(image, per_image, generator) for image in reference_RPC])
