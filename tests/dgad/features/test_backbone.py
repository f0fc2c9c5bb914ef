"""Backbones: strides, seeds, real weight files, and features that do not depend on the batch."""

import contextlib
import functools
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from dgad.domains.image_set import ImageSet
from dgad.errors import SettingsError, WeightsError
from dgad.features.backbone import Backbone, check_strides
from dgad.features.builtin import Builtin
from dgad.features.cache import FeatureCache
from dgad.features.frozen import FrozenFeatures
from dgad.features.settings import FeatureSettings


def images(count: int, *, keys: bool = False) -> ImageSet:
    pixels = torch.randint(
        0, 256, (count, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return ImageSet(images=pixels, keys=tuple(f"k{i}" for i in range(count)) if keys else ())


def backbone(seed: int = 0, strides: tuple[int, ...] = (4, 8), **settings: Any) -> Backbone:
    features = FeatureSettings(**{"weights": "none", "scale": "squash 64", **settings})
    return Backbone(features, strides, seed=seed)


def test_maps_have_the_asked_for_strides() -> None:
    body = backbone(strides=(4, 8, 16))
    maps = body(images(2).stack())
    assert [tuple(m.shape) for m in maps] == [(2, 64, 16, 16), (2, 128, 8, 8), (2, 256, 4, 4)]
    assert body.channels == (64, 128, 256)


def test_random_weights_come_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = backbone(seed=3).fingerprint()
    torch.manual_seed(2)
    assert backbone(seed=3).fingerprint() == first
    assert backbone(seed=4).fingerprint() != first


def test_making_a_backbone_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    backbone()
    assert torch.rand(1) == expected


def test_batch_norm_never_learns_statistics_nor_depends_on_the_batch() -> None:
    body = backbone()
    before = body.fingerprint()
    whole = body(images(4).stack())
    single = body(images(4).stack()[1:2])
    assert body.fingerprint() == before
    assert not body.train().body.training
    for w, s in zip(whole, single, strict=True):
        torch.testing.assert_close(w[1:2], s, rtol=1e-4, atol=1e-5)


def test_weights_from_a_local_file_are_loaded(tmp_path: Path) -> None:
    torch.manual_seed(7)
    donor = timm.create_model("resnet18")
    save_file(donor.state_dict(), tmp_path / "weights.safetensors")
    loaded = backbone(weights=str(tmp_path / "weights.safetensors"))
    own = loaded.body.state_dict()
    torch.testing.assert_close(own["layer2.0.conv1.weight"], donor.state_dict()["layer2.0.conv1.weight"])


def test_weights_that_cannot_be_had_name_the_alternatives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsError, match=r"no weights file .*absent.safetensors.*`none`.*`timm`"):
        backbone(weights=str(tmp_path / "absent.safetensors"))
    with pytest.raises(WeightsError, match=r"\.safetensors file, but got 'w.pth'"):
        backbone(weights="w.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(WeightsError, match=r"bad.safetensors` for backbone `resnet18` cannot be had"):
        backbone(weights=str(tmp_path / "bad.safetensors"))
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other.safetensors lacks 5 of the backbone's 5 layers"):
        backbone(weights=str(tmp_path / "other.safetensors"), strides=(4,))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"`timm` for backbone `resnet34` cannot be had.*`none`"):
        backbone(weights="timm", backbone="resnet34")


def test_unknown_backbone_and_stride() -> None:
    with pytest.raises(SettingsError, match=r"'resnet19'.*Did you mean"):
        backbone(backbone="resnet19")
    with pytest.raises(SettingsError, match=r"strides \[2, 4, 8, 16, 32\], but \[3\]"):
        backbone(strides=(3,))


def test_frozen_features_are_computed_once_per_image(monkeypatch: pytest.MonkeyPatch) -> None:
    body = backbone()
    frozen = FrozenFeatures(body, FeatureCache(), torch.device("cpu"))
    plain = frozen.maps(images(5))
    assert len(frozen.cache) == 0
    first = frozen.maps(images(5, keys=True))
    assert len(frozen.cache) == 10
    for p, b in zip(plain, body(images(5).stack()), strict=True):
        torch.testing.assert_close(p, b, rtol=1e-4, atol=1e-4)
    monkeypatch.delattr(Backbone, "forward")  # a second computation would now fail
    kept = frozen.maps(images(5, keys=True).take([3, 1]))
    for p, f, k in zip(plain, first, kept, strict=True):
        torch.testing.assert_close(p, f)
        assert torch.equal(k, f[[3, 1]])
        for found in (p, f, k):
            assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("weights", "strides", "message"),
    [
        ("none", (4, 8, 16, 32), None),
        ("builtin", (4, 8, 16), None),
        ("none", (4, 12), r"strides \[2, 4, 8, 16, 32\], but \[12\] were asked for"),
        ("builtin", (16, 32), r"reach the strides \[4, 8, 16\], but \[32\] were asked for"),
    ],
)
def test_whether_levels_are_to_be_had_is_told_as_by_the_backbone_itself(
    builtin_weights: Builtin, weights: str, strides: tuple[int, ...], message: str | None
) -> None:
    settings = FeatureSettings(weights=weights)
    for check in (check_strides, functools.partial(Backbone, seed=0)):
        with pytest.raises(SettingsError, match=message) if message else contextlib.nullcontext():
            check(settings, strides)
