"""The ablation of weights: tables, intervals, and that an interrupted run goes on."""

import dataclasses
import json
from pathlib import Path

import backbone
import pytest
from ablation import read_results

from dgad.errors import DataError, RecordError, SettingsError
from dgad.evaluation.metrics import paired_bootstrap_difference
from dgad.records import Record
from dgad.seeds import seed_for

ROWS = "patch_knn:4,patch_knn:4+8+16,comparer:untrained,comparer:builtin,trivial"


def test_a_pyramid_row_has_the_strides_of_its_name() -> None:
    for label, settings in backbone.PYRAMID_ROWS.items():
        assert label.partition(" ")[0] == "patch_knn:" + "+".join(map(str, settings.strides))


@pytest.fixture
def arguments(demo_data: Path, tmp_path: Path) -> list[str]:
    out = ["--out", str(tmp_path / "results.jsonl")]
    size = ["--scale", "squash 64", "--num-references", "4", "--targets", "grid,wood", "--seeds", "0,1"]
    return ["--data", str(demo_data), "--weights", "none", "--methods", ROWS, *size, *out]


def test_it_goes_on_where_it_was_interrupted(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare = ["--compare", "patch_knn:4@none", "trivial@none"]
    backbone.compare_and_print([*arguments, *compare])
    whole = capsys.readouterr()
    assert "16 evaluations, 0 of them done before" in whole.err
    assert (
        "comparer:builtin@none is left out: `init` builtin needs the backbone it was learnt on" in whole.err
    )
    for words in ("Image AUROC", "Pixel AUROC", "patch_knn:4+8+16@none", "mean of 2", "wood", "grid"):
        assert words in whole.out

    path = tmp_path / "results.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == 16
    path.write_text("".join(lines[:12]) + lines[12][:50])
    backbone.compare_and_print([*arguments, *compare])
    again = capsys.readouterr()
    assert "was cut off" in again.err
    assert "16 evaluations, 12 of them done before" in again.err
    assert again.out == whole.out
    assert [_result(line) for line in path.read_text().splitlines()] == [_result(line) for line in lines]


def test_a_result_of_other_settings_is_not_reused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    trivial = [*arguments, "--methods", "trivial", "--seeds", "0"]
    backbone.compare_and_print(trivial)
    backbone.compare_and_print([*trivial, "--num-references", "5"])
    assert "2 evaluations, 0 of them done before" in capsys.readouterr().err.split("seed 0")[-3]
    backbone.compare_and_print(trivial)
    assert "2 evaluations, 2 of them done before" in capsys.readouterr().err


def test_differences_are_paired_over_images_and_losses_flagged(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone.compare_and_print([*arguments, "--methods", "patch_knn:4,trivial", "--seeds", "0"])
    records = list(read_results(tmp_path / "results.jsonl"))
    by_arm = {r.label: r for r in records if r.target == "wood"}
    knn, trivial = by_arm["patch_knn:4@none"], by_arm["trivial@none"]
    expected = paired_bootstrap_difference(
        knn.labels, knn.image_scores, trivial.image_scores, seed=seed_for(0, "wood", "report")
    )
    assert expected is not None
    capsys.readouterr()
    backbone.print_difference(records, "patch_knn:4@none", "trivial@none")
    assert f"  {'wood':20}{backbone.points(*expected)}" in capsys.readouterr().out

    extremes = [_as_good_as(r, 0.0 if r.label == "trivial@none" else 1.0) for r in records]
    backbone.print_difference(extremes, "trivial@none", "patch_knn:4@none")
    assert capsys.readouterr().out.count("<< wholly below -2 points") == 2


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        (["--targets", "silk"], DataError, "No domain `silk`"),
        (["--methods", "patch_kn"], SettingsError, "Did you mean `patch_knn`"),
        (["--weights", "a/x.safetensors,b/x.safetensors"], SettingsError, "must differ in name"),
        (["--weights", "nowhere.safetensors"], SettingsError, "nowhere.safetensors cannot be read"),
        (["--num-references", "13"], DataError, "at most 12"),
        (["--compare", "trivial@none", "trivial@builtin"], SettingsError, "trivial@builtin"),
    ],
)
def test_mistakes_are_told_before_anything_is_computed(
    arguments: list[str], tmp_path: Path, more: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        backbone.compare_and_print([*arguments, *more])
    assert not (tmp_path / "results.jsonl").exists()


def test_a_foreign_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"a": 1}\n')
    with pytest.raises(RecordError, match="line 1 is no result"):
        list(read_results(path))


def _result(line: str) -> dict[str, object]:
    """What a line says, without times."""
    values = json.loads(line)
    return {k: v for k, v in values.items() if k not in ("fit_s", "ms_per_image", "created_at")}


def _as_good_as(record: Record, auroc: float) -> Record:
    """Every defect right (1) or every one wrong (0)."""
    sign = 1 if auroc == 1 else -1
    metrics = dataclasses.replace(record.metrics, image_auroc=auroc)
    return dataclasses.replace(record, image_scores=tuple(sign * n for n in record.labels), metrics=metrics)
