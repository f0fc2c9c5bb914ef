"""The benchmark of arms takes what is asked for, pairs it, and goes on where it was."""

import json
from pathlib import Path

import arms
import numpy as np
import pytest
from PIL import Image

from dgad.errors import SettingsError


def test_an_arm_changes_features_and_settings_and_nothing_else_is_taken() -> None:
    arm = arms.parse_arm("patch_knn normalisation='blend 0.5' top_fraction=0.1 scale=native num_levels=1")
    assert (arm.features.normalisation, arm.features.scale) == ("blend 0.5", "native")
    assert (arm.settings.top_fraction, arm.settings.num_levels) == (0.1, 1)
    with pytest.raises(SettingsError, match="'size' is a field neither"):
        arms.parse_arm("patch_knn size=3")
    with pytest.raises(SettingsError, match="learns from sources"):
        arms.parse_arm("comparer:robust")


def test_arms_are_paired_over_groups_and_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for domain in ("a", "b", "c"):
        for split, kind, count in (("train", "good", 3), ("test", "good", 3), ("test", "spot", 3)):
            folder = tmp_path / "data" / domain / split / kind
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.normal(128, 12, (64, 64)).clip(0, 255).astype(np.uint8)
                pixels[20:40, 20:40] = 255 if kind == "spot" else 128
                Image.fromarray(pixels).save(folder / f"{i}.png")
    out = tmp_path / "rows.jsonl"
    few = ["--data", str(tmp_path / "data"), "--num-references", "2", "--draws", "2", "--out", str(out)]
    texts = ["patch_knn weights=none", "patch_knn weights=none normalisation=references"]
    assert arms.main([*few, *texts, "--groups", "a,b"]) == 0
    shown = capsys.readouterr().out
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 2 * 3 * 2
    assert "[1] - [0], mean of groups" in shown
    assert arms.main([*few, *texts, "--groups", "a,b"]) == 0
    assert capsys.readouterr().out == shown
    assert len(out.read_text().splitlines()) == len(rows)
