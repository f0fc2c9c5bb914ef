"""One vector an image: of the coarsest level that can be had, or of a vision transformer's last block."""

import pytest
import torch

from dgad.domains.image_set import ImageSet
from dgad.features.builtin import Builtin
from dgad.features.pooled import coarsest_backbone, pooled_features
from dgad.features.settings import FeatureSettings

CPU = torch.device("cpu")


def images(count: int = 3) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    return ImageSet(images=torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8, generator=generator))


@pytest.mark.parametrize(
    ("name", "stride", "width"), [("resnet18", 32, 512), ("vit_tiny_patch16_224", 16, 192)]
)
def test_the_mean_over_the_coarsest_map(name: str, stride: int, width: int) -> None:
    features = FeatureSettings(backbone=name, weights="none", scale="squash 64")
    backbone = coarsest_backbone(features, seed=0, device=CPU)
    assert backbone.strides == (stride,)
    found = pooled_features(backbone, images(), batch_size=2)
    assert found.shape == (3, width)
    with torch.no_grad():
        (expected,) = backbone(images().stack())
    torch.testing.assert_close(found, expected.flatten(2).mean(2))


def test_weights_that_reach_fewer_levels_give_the_coarsest_of_those(builtin_weights: Builtin) -> None:
    features = FeatureSettings(backbone="resnet18", weights="builtin", scale="squash 64")
    backbone = coarsest_backbone(features, seed=0, device=CPU)
    assert backbone.strides == (max(builtin_weights.info.strides),)
