"""One feature vector an image: the mean over the backbone's coarsest map."""

# N images, F features

import contextlib

import torch
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.errors import SettingsError, WeightsError
from dgad.features.backbone import Backbone
from dgad.features.levels import has_tokens, level_strides
from dgad.features.settings import FeatureSettings


def coarsest_backbone(features: FeatureSettings, *, seed: int, device: torch.device) -> Backbone:
    """The backbone down to the coarsest level that its weights reach, or its last block's tokens.

    Of two backbones the first. Raises `UserError` where no level can be had.
    """
    features = features.each[0]
    if has_tokens(features.backbone):
        return Backbone(features, seed=seed, token_layer=-1).to(device)
    *coarser, finest = sorted(level_strides(features.backbone), reverse=True)
    for stride in coarser:
        with contextlib.suppress(SettingsError, WeightsError):  # as of weights learnt on fewer levels
            return Backbone(features, (stride,), seed=seed).to(device)
    return Backbone(features, (finest,), seed=seed).to(device)


@torch.no_grad()
def pooled_features(backbone: Backbone, images: ImageSet, *, batch_size: int = 16) -> Tensor:
    """Spatial means of the only map, float32 (N, F), on the CPU."""
    device = next(backbone.parameters()).device
    found = [
        backbone(batch.stack().to(device))[0].float().mean((2, 3)).cpu()
        for batch in images.batches(batch_size)
    ]
    return torch.cat(found)
