"""A file of backbone weights, and which model it says that it is of."""

import json
import logging
import warnings
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from dgad.errors import DgadWarning, WeightsError
from dgad.features.backbone import Backbone
from dgad.features.settings import FeatureSettings
from dgad.features.weights_file import find_weights_file

PLAIN, TF = "efficientnet_lite0", "tf_efficientnet_lite0"


def _save(path: Path, **metadata: str) -> str:
    save_file({"x": torch.zeros(1)}, path, metadata or None)
    return str(path)


@pytest.mark.parametrize("metadata", [{"architecture": TF}, {"timm": f"timm/{TF}.in1k"}])
def test_a_header_that_names_another_model_is_refused(tmp_path: Path, metadata: dict[str, str]) -> None:
    file = _save(tmp_path / "w.safetensors", **metadata)
    with pytest.raises(WeightsError, match=rf"says that its weights are of `{TF}`, but the backbone is"):
        find_weights_file(file, PLAIN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_weights_file(file, TF)
        find_weights_file(file, f"{TF}.in1k")


def test_so_is_a_description_beside_it_as_timm_writes_it(tmp_path: Path) -> None:
    file = _save(tmp_path / "model.safetensors", format="pt")
    config = {"architecture": TF, "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=rf"config.json says that its weights are of `{TF}`"):
        Backbone(FeatureSettings(backbone=PLAIN, weights=file), (8,), seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_weights_file(file, TF)
    config["pretrained_cfg"] = {"mean": [0.1, 0.2, 0.3], "std": [0.5] * 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.warns(DgadWarning, match=r"the mean of the input is \[0.1, 0.2, 0.3\], but "):
        find_weights_file(file, TF)
    (tmp_path / "config.json").write_text('{"architecture": "LlamaForCausalLM"}')
    with pytest.warns(DgadWarning, match="nothing in it says which"):
        find_weights_file(file, TF)


@pytest.mark.parametrize(
    ("backbone", "name", "told"),
    [
        (PLAIN, "w", "fits `efficientnet_lite0` and `tf_efficientnet_lite0` alike, .* nothing in it says"),
        (PLAIN, f"{TF}-0aa007d2", "and its name says `tf_efficientnet_lite0`"),
        (TF, "efficientnet_lite0_ra", "nothing in it says"),
        (TF, "efficientnet_lite0-37913777", "and its name says `efficientnet_lite0`"),
        (TF, f"{TF}-0aa007d2", ""),
        ("resnet18", "w", ""),
    ],
)
def test_a_model_of_the_same_shape_is_warned_of_once(
    tmp_path: Path, backbone: str, name: str, told: str
) -> None:
    file = _save(tmp_path / f"{name}.safetensors")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        find_weights_file(file, backbone)
        find_weights_file(file, backbone)
    assert len(heard) == bool(told)
    if told:
        with pytest.warns(DgadWarning, match=told):
            warnings.warn(heard[0].message, stacklevel=1)


def test_a_complete_state_dict_is_loaded_without_the_loaders_warnings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(7)
    donor = timm.create_model("mobilenetv3_small_050")
    save_file(donor.state_dict(), tmp_path / "mobilenetv3_small_050.safetensors")
    settings = FeatureSettings(
        backbone="mobilenetv3_small_050", weights=str(tmp_path / "mobilenetv3_small_050.safetensors")
    )
    with caplog.at_level(logging.WARNING):
        body = Backbone(settings, (4, 8), seed=0)
    assert caplog.messages == []
    torch.testing.assert_close(
        body.body.state_dict()["conv_stem.weight"], donor.state_dict()["conv_stem.weight"]
    )
