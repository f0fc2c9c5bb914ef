"""One feature vector an image: the mean over the backbone's coarsest map."""

# N images, F features

import torch
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.errors import SettingsError
from dgad.features.backbone import Backbone
from dgad.features.builtin import read_builtin
from dgad.features.levels import has_tokens, level_strides
from dgad.settings import FeatureSettings


def coarsest_backbone(features: FeatureSettings, *, seed: int, device: torch.device) -> Backbone:
    """The backbone down to its coarsest level that its weights reach, or its last block's tokens."""
    if has_tokens(features.backbone):
        return Backbone(features, seed=seed, token_layer=-1).to(device)
    strides = level_strides(features.backbone)
    if features.weights == "builtin":
        strides = read_builtin().info.strides
    if not strides:
        raise SettingsError(f"`{features.backbone}` has no feature maps.")
    return Backbone(features, (max(strides),), seed=seed).to(device)


@torch.no_grad()
def pooled_features(backbone: Backbone, images: ImageSet, *, batch_size: int = 16) -> Tensor:
    """Spatial means of the only map, float32 (N, F), on the CPU."""
    device = next(backbone.parameters()).device
    found = [
        backbone(batch.images.to(device))[0].float().mean((2, 3)).cpu()
        for batch in images.batches(batch_size)
    ]
    return torch.cat(found)
