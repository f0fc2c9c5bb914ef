"""`dgad evaluate` on a vision transformer."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.conftest import Run

ON_GRID = ("--target", "grid", "--num-references", "3", "--scale", "squash 64")


@pytest.mark.parametrize("backbone", ["vit_small_patch14_dinov2.lvd142m", "test_vit"])
def test_anomalydino_runs_on_random_weights(run: Run, demo_data: Path, backbone: str) -> None:
    weights = ("--backbone", backbone, "--weights", "none")
    done = run(
        "evaluate", "--data", demo_data, *ON_GRID, *weights, "--method", "patch_knn:anomalydino", "--json"
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["results"]
    assert row["method"] == "patch_knn:anomalydino"
    assert 0 <= row["image_auroc"] <= 1
    assert 0 <= row["pixel_auroc"] <= 1


def test_anomalydino_runs_on_a_weights_file(run: Run, demo_data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "own.safetensors")
    weights = ("--backbone", "test_vit", "--weights", tmp_path / "own.safetensors")
    done = run("evaluate", "--data", demo_data, *ON_GRID, *weights, "--method", "patch_knn:anomalydino")
    assert done.returncode == 0, done.stderr
    assert "patch_knn:anomalydino" in done.stdout


@pytest.mark.parametrize(
    ("method", "backbone", "sentence"),
    [
        ("patch_knn", "test_vit", "one stride only, 16 px"),
        ("patchcore", "test_vit", "use patch_knn:anomalydino"),
        ("patch_knn:anomalydino", "resnet18", "no patch tokens"),
    ],
)
def test_what_a_backbone_has_not_is_told_in_one_sentence(
    run: Run, demo_data: Path, method: str, backbone: str, sentence: str
) -> None:
    weights = ("--backbone", backbone, "--weights", "none")
    done = run("evaluate", "--data", demo_data, *ON_GRID, *weights, "--method", method)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
