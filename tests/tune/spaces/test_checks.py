"""A narrowed space that holds what its method cannot have is refused, with the line and the condition."""

from pathlib import Path

import pytest

from dgad.errors import SettingsError
from tune.study.settings import Study, make_study, read_study_file


def _study(folder: Path, method: str, *lines: str, weights: str = "builtin") -> Study:
    path = folder / "study.yaml"
    path.write_text("\n".join(("spaces:", f"  {method}:", *(f"    {line}" for line in lines), "")))
    return make_study({**read_study_file(path), "methods": (method,), "data": "x", "weights": weights})


@pytest.mark.parametrize(
    ("method", "lines", "message"),
    [
        ("comparer", ["init: random", "clip_norm: -1"], r"line 4: .*`clip_norm` must be above 0, but got -1"),
        ("comparer", ["ranking_weight: [0.1, -3]"], r"line 3: .*`ranking_weight` must be at least 0"),
        (
            "comparer",
            ["anchor_weight: {low: -0.1, high: 1}"],
            r"line 3: .*`anchor_weight` must be at",
        ),
        (
            "comparer",
            ["top_fraction: {low: 0.01, high: 1.5}"],
            r"line 3: .*`top_fraction` must be .*at most 1, but",
        ),
        (
            "comparer",
            ["learning_rate: {low: 0, high: 1}"],
            r"line 3: `learning_rate` .* must be above 0",
        ),
        ("patch_knn", ["neighbourhood: {low: 1, high: 5}"], r"line 3: .*`neighbourhood` must be odd"),
        # Combinations
        ("comparer", ["head: mlp"], r"line 3: .* where `init` is builtin: "),
        ("comparer", ["width: 64"], r"line 3: .* where `init` is builtin: .*`width` must be 192, but got 64"),
        (
            "comparer",
            ["init: random", "reference_pooling: image_mean"],
            r"line 4: .* where `density_correction` is true: ",
        ),
        (
            "comparer",
            ["init: random", "num_levels: 3"],
            r"where `finest_stride` is 8: .*\[32\] were",
        ),
        ("trustmae", ["trust_limit: 0.9"], r"line 3: .*`trust_limit` must be at least `trust_radius`"),
        # Features
        ("agg", ["stride: 32"], r"line 3: .*`weights` builtin reach the strides \[4, 8, 16\], but \[32\]"),
        ("memae", ["encoder: conv", "crop_px: 40"], r"line 4: .*`crop_px` must be a multiple of 16"),
        ("patch_knn", ["token_layer: -1"], r"line 3: .*no patch tokens"),
        # What no configuration has is still checked
        ("comparer", ["aggregation: min", "temperature: -1"], r"line 4: .*`temperature` must be above 0"),
    ],
)
def test_what_a_method_cannot_have_is_refused_with_its_line(
    tmp_path: Path, method: str, lines: list[str], message: str
) -> None:
    with pytest.raises(SettingsError, match=rf"study\.yaml, .*{message}"):
        _study(tmp_path, method, *lines)


def test_the_shipped_start_needs_the_shipped_features(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"line 3: .*`weights` must be builtin, but got 'none'"):
        _study(tmp_path, "comparer", "init: builtin", weights="none")


@pytest.mark.parametrize(
    ("method", "lines"),
    [
        ("comparer", ["head: mlp", "init: [difference, random]"]),
        ("comparer", ["width: 64", "init: difference"]),
        ("comparer", ["num_levels: 3", "init: random", "finest_stride: 4"]),
        ("comparer", ["reference_pooling: image_mean", "density_correction: false"]),
        ("trustmae", ["trust_limit: 0.9", "trust_radius: {low: 0.3, high: 0.9}"]),
        ("memae", ["encoder: conv", "crop_px: [32, 48]"]),
    ],
)
def test_what_goes_together_is_let_through(tmp_path: Path, method: str, lines: list[str]) -> None:
    assert _study(tmp_path, method, *lines).spaces[method].restrictions


def test_a_method_that_is_not_to_be_had_on_the_features_is_not_the_narrowing_s_fault() -> None:
    study = make_study(
        {
            "data": "x",
            "methods": ("comparer", "patch_knn"),
            "backbone": "test_vit",
            "weights": "none",
            "spaces": {"comparer": {"num_steps": [0, 20]}},
        }
    )
    assert study.spaces.keys() == {"comparer"}
