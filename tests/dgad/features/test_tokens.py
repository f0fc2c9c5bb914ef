"""Vision transformers as backbones: levels, image sizes, weight files, and clear refusals."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from dgad.errors import SettingsError, WeightsError
from dgad.features.backbone import Backbone
from dgad.features.levels import check_levels, has_tokens, level_strides, num_token_layers
from dgad.features.settings import FeatureSettings
from dgad.features.tokens import nearest_multiple

SMALL, PATCH14 = "test_vit", "vit_small_patch14_dinov2.lvd142m"


def images(size_px: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 3, size_px, size_px), dtype=torch.uint8, generator=generator)


def backbone(name: str, token_layer: int | None = -1, size_px: int = 64, **settings: Any) -> Backbone:
    features = FeatureSettings(backbone=name, **{"weights": "none", "scale": f"squash {size_px}", **settings})
    return Backbone(features, seed=0, token_layer=token_layer)


def test_which_levels_a_model_has() -> None:
    assert level_strides("resnet18") == (2, 4, 8, 16, 32)
    assert level_strides(SMALL) == (16,) * 6
    assert not has_tokens("resnet18")
    assert has_tokens(PATCH14)
    assert not has_tokens("swin_tiny_patch4_window7_224")
    assert (num_token_layers(PATCH14), num_token_layers("resnet18")) == (12, 0)


@pytest.mark.parametrize(("size_px", "patch_px", "expected"), [(128, 14, 126), (64, 14, 70), (448, 14, 448),
                                                              (128, 16, 128), (32, 64, 64)])  # fmt: skip
def test_images_are_resized_to_the_nearest_whole_number_of_patches(
    size_px: int, patch_px: int, expected: int
) -> None:
    assert nearest_multiple(size_px, patch_px) == expected


@pytest.mark.parametrize(("name", "size_px", "grid"), [(SMALL, 64, 4), (PATCH14, 64, 5), (PATCH14, 128, 9)])
def test_patch_tokens_are_one_map(name: str, size_px: int, grid: int) -> None:
    body = backbone(name, size_px=size_px)
    (tokens,) = body(images(size_px))
    assert tokens.shape == (3, body.channels[0], grid, grid)
    assert body.strides == level_strides(name)[:1]
    torch.testing.assert_close(body(images(size_px)[1:2])[0], tokens[1:2], rtol=1e-4, atol=1e-5)


def test_tokens_are_those_of_the_model_after_its_last_norm() -> None:
    body = backbone(SMALL)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(SMALL, num_classes=0, img_size=64).eval()
    expected = model.forward_features(body.normalise(images()))[:, model.num_prefix_tokens :]
    (tokens,) = body(images())
    torch.testing.assert_close(tokens.flatten(2).transpose(1, 2), expected)


def test_layers_differ_and_an_earlier_one_is_a_shorter_model() -> None:
    last, earlier = backbone(SMALL), backbone(SMALL, -3)
    assert not torch.equal(last(images())[0], earlier(images())[0])
    assert len(last.state_dict()) > len(earlier.state_dict())


def test_random_weights_come_from_the_seed_alone() -> None:
    features = FeatureSettings(backbone=SMALL, weights="none", scale="squash 64")
    prints = [Backbone(features, seed=s, token_layer=-1).fingerprint() for s in (3, 3, 4)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("donor_size_px", [64, 160])
def test_weights_from_a_file_are_loaded_whatever_size_they_were_learnt_at(
    tmp_path: Path, donor_size_px: int
) -> None:
    file = tmp_path / "weights.safetensors"
    torch.manual_seed(7)
    donor = timm.create_model(SMALL, img_size=donor_size_px)
    save_file(donor.state_dict(), file)
    own, given = backbone(SMALL, weights=str(file)).state_dict(), donor.state_dict()
    kept = {k.removeprefix("body.model.") for k in own if not k.endswith("pos_embed")}
    assert len(kept) > 50
    for key in kept:
        torch.testing.assert_close(own[f"body.model.{key}"], given[key], rtol=0, atol=0)
    position = own["body.model.pos_embed"]
    assert position.shape == (1, 17, 64)  # 4 x 4 patches and the class token
    assert (position.shape == given["pos_embed"].shape) == (donor_size_px == 64)


def test_a_file_that_lacks_a_block_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    torch.manual_seed(7)
    state = timm.create_model(SMALL).state_dict()
    save_file({k: v for k, v in state.items() if not k.startswith("blocks.2")}, file)
    with pytest.raises(WeightsError, match=r"lacks 4 of the backbone's .* layers, model.blocks.2"):
        backbone(SMALL, weights=str(file))


def test_builtin_weights_are_of_another_backbone() -> None:
    with pytest.raises(SettingsError, match=r"builtin are those of `resnet18`, but got backbone 'test_vit'"):
        backbone(SMALL, weights="builtin")


def test_levels_that_a_model_has_not_are_refused_with_what_to_use_instead() -> None:
    with pytest.raises(SettingsError, match=r"one stride only, 16 px.*use patch_knn:anomalydino"):
        check_levels(SMALL, None)
    with pytest.raises(SettingsError, match=r"one stride only"):
        Backbone(FeatureSettings(backbone=SMALL, weights="none"), (16,), seed=0)
    with pytest.raises(SettingsError, match=r"`resnet18` .* no patch tokens.*use patch_knn, or .*dinov2"):
        check_levels("resnet18", -1)
    with pytest.raises(SettingsError, match=r"from -1, the last of the 6 blocks of `test_vit`, to -6.*-7"):
        check_levels(SMALL, -7)
    with pytest.raises(SettingsError, match=r"name of a timm model, but got 'resnet19'.*Did you mean"):
        check_levels("resnet19", None)


def test_a_pyramid_of_one_image_size_with_channels_last() -> None:
    features = FeatureSettings(backbone="swin_tiny_patch4_window7_224", weights="none", scale="squash 64")
    body = Backbone(features, (4, 8), seed=0)
    assert [tuple(m.shape) for m in body(images())] == [(3, 96, 16, 16), (3, 192, 8, 8)]
