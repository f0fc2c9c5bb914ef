"""Builtin weights: what is written is read, what was touched is refused, what is loaded is whole."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dgad.errors import SettingsError, WeightsError
from dgad.features import builtin
from dgad.features.backbone import Backbone
from dgad.features.builtin import (
    BACKBONE_FILE,
    COMPARER_FILE,
    INFO_FILE,
    Builtin,
    read_builtin,
    write_builtin,
)
from dgad.features.settings import FeatureSettings
from tests.builtin_weights import write_drawn


def write(folder: Path, **changes: Any) -> None:
    values: dict[str, Any] = {
        "backbone": "resnet18",
        "strides": (4,),
        "backbone_state": {"w": torch.tensor([0.1, 2.0])},
        "comparer_settings": {"head": "mlp"},
        "comparer_state": {"b": torch.zeros(2), "count": torch.tensor(3)},
        "origin": {"seed": 0},
        "card": "# Card\n",
    }
    write_builtin(folder, **{**values, **changes})


def backbone(seed: int = 0, strides: tuple[int, ...] = (4, 8), **settings: Any) -> Backbone:
    features = FeatureSettings(**{"weights": "builtin", "scale": "squash 64", **settings})
    return Backbone(features, strides, seed=seed)


def test_what_is_written_is_read_in_single_precision(tmp_path: Path) -> None:
    write(tmp_path / "w")
    read = read_builtin(tmp_path / "w")
    assert (read.info.backbone, read.info.strides, read.info.comparer) == ("resnet18", (4,), {"head": "mlp"})
    assert read.backbone["w"].dtype == torch.float32
    torch.testing.assert_close(read.backbone["w"], torch.tensor([0.1, 2.0]).half().float(), rtol=0, atol=0)
    assert int(read.comparer["count"]) == 3
    assert (tmp_path / "w" / "MODEL_CARD.md").read_text() == "# Card\n"
    write(tmp_path / "w", strides=(4, 8))
    assert read_builtin(tmp_path / "w").info.strides == (4, 8)


@pytest.mark.parametrize("name", [BACKBONE_FILE, COMPARER_FILE, INFO_FILE])
def test_damage_and_absence_are_refused_by_name(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    kept = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(kept[:-3] + bytes([kept[-3] ^ 1]) + kept[-2:])
    with pytest.raises(WeightsError, match=rf"{name} is missing or differs.*install dgad again.*`none`"):
        read_builtin(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(WeightsError, match=rf"{name} is missing"):
        read_builtin(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format version 2, but this dgad reads up to 1: update dgad"),
        ({"format_version": "x"}, "differs from what was shipped"),
        ({"surprise": 1}, "differs from what was shipped"),
    ],
)
def test_a_newer_or_strange_description_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    write(tmp_path)
    path = tmp_path / INFO_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(WeightsError, match=message):
        read_builtin(tmp_path)


def test_nothing_else_is_overwritten_and_half_precision_must_hold_every_number(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="half precision, but `w` does not"):
        write(tmp_path / "w", backbone_state={"w": torch.tensor([1e6])})
    assert not (tmp_path / "w").exists()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WeightsError, match="holds something else"):
        write(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_shipped_weights_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(builtin._shipped.cache_clear)
    monkeypatch.setattr(builtin.importlib.resources, "files", lambda package: tmp_path)
    builtin._shipped.cache_clear()
    with pytest.raises(WeightsError, match=r"comes without builtin weights.*install it again.*`timm`"):
        read_builtin()
    write_drawn(tmp_path / "weights")
    assert read_builtin() is read_builtin()


@pytest.mark.parametrize("strides", [(4,), (4, 8), (8, 16)])
def test_every_tensor_of_the_body_is_loaded_and_no_seed_matters(
    builtin_weights: Builtin, strides: tuple[int, ...]
) -> None:
    body = backbone(strides=strides)
    for name, value in body.body.state_dict().items():
        torch.testing.assert_close(value, builtin_weights.backbone[name], rtol=0, atol=0)
    assert body.fingerprint() == backbone(seed=5, strides=strides).fingerprint()
    maps = body(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert [m.shape[-1] for m in maps] == [64 // s for s in strides]


def test_reading_twice_gives_the_same_weights_whatever_was_trained_between(builtin_weights: Builtin) -> None:
    first = backbone()
    before = first.fingerprint()
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1)
    assert backbone().fingerprint() == before


def test_another_backbone_stride_or_a_gap_is_refused(
    builtin_weights: Builtin, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=r"those of `resnet18`, but got backbone 'resnet34'.*`timm`"):
        backbone(backbone="resnet34")
    with pytest.raises(SettingsError, match=r"reach the strides \[4, 8, 16\], but \[32\].*`none`"):
        backbone(strides=(16, 32))
    fewer = {k: v for k, v in builtin_weights.backbone.items() if k != "layer1.0.bn1.running_var"}
    monkeypatch.setattr(builtin, "_shipped", lambda: dataclasses.replace(builtin_weights, backbone=fewer))
    with pytest.raises(WeightsError, match=r"lack 1 of the backbone's \d+ tensors, layer1.0.bn1.running_var"):
        backbone()
