"""A finished study that is launched again: on the data it was made of, and on other data."""

import dataclasses
import json
import os
import re
import shutil
from pathlib import Path

import pytest

import tune
from dgad.errors import DataError, RecordError
from dgad.report.summary import StudySummary, write_summary
from tests.tune.helpers import run_on
from tests.tune.launches import invoke
from tune.fits.run import read_fit_features
from tune.launcher.inputs import check_unchanged, compute_weights_sum, describe_inputs
from tune.run_folder.folder import read_info, write_info, write_study
from tune.run_folder.layout import REPORT_FILE, SUMMARY_FILE
from tune.study.data import open_data
from tune.study.settings import Study, make_study


@pytest.fixture
def data(surfaces: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(surfaces, tmp_path / "data"))


def _finish(data: Path, runs: Path, **settings: object) -> Study:
    """Leave what a finished study without any cell leaves."""
    study = make_study(
        {"name": "x", "data": str(data), "methods": ("trivial",), "num_references": "3"} | settings
    )
    info = describe_inputs(study, open_data(study, str(data)), "dgad-tune launch --name x")
    write_study(runs / "x", study)
    write_info(runs / "x", info)
    write_summary(
        runs / "x",
        StudySummary(
            name="x",
            protocol="nested",
            data_location=str(data),
            data_fingerprint=info.data_fingerprint,
            domains=tuple(info.domain_fingerprints),
            methods=study.methods,
            seeds=(0,),
            trials_per_cell=0,
            num_references="10",
            features={},
            command="",
            started_at="2030-01-01T00:00:00+00:00",
            wall_s=1.0,
            versions={},
            device="cpu",
            cells=(),
            fits_computed=0,
            fits_reused=0,
        ),
    )
    (runs / "x" / REPORT_FILE).write_text("kept")
    return study


def _again(runs: Path, *more: str) -> str:
    return invoke(["launch", "--runs", str(runs), "--name", "x", *more]).output


def test_on_the_same_data_nothing_is_run_and_that_is_said(data: Path, tmp_path: Path) -> None:
    _finish(data, tmp_path / "runs")
    told = _again(tmp_path / "runs")
    assert told.startswith("Nothing was run: the study `x` finished, and this is its result.")
    result = invoke(["launch", "--runs", str(tmp_path / "runs"), "--name", "x", "--json"])
    assert json.loads(result.stdout)["name"] == "x"
    assert "Nothing was run" in result.stderr
    assert "is finished: nothing of this would be run" in _again(tmp_path / "runs", "--dry-run")


def test_on_changed_data_it_is_refused_with_what_has_changed(data: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    _finish(data, runs)
    images = sorted((data / "grid" / "train" / "good").iterdir())
    shutil.copy(images[0], images[1])
    shutil.copytree(data / "tile", data / "slate")
    shutil.rmtree(data / "woven")
    wanted = re.escape(
        f"The data in {data} has changed since the study `x` began (other images or masks: `grid`; new:"
        " `slate`; gone: `woven`), so its figures could not be compared: restore the data, or begin a new"
        " study with another --name."
    )
    for more in ([], ["--json"], ["--retry-failed"], ["--dry-run"]):
        with pytest.raises(DataError, match=wanted):
            _again(runs, *more)
    with pytest.raises(DataError, match=wanted):
        tune.launch(name="x", runs=runs)


def test_so_are_a_changed_data_set_beside_it_and_changed_weights(data: Path, tmp_path: Path) -> None:
    beside = Path(shutil.copytree(data / "grid", tmp_path / "beside" / "mesh")).parent
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"one")
    _finish(data, tmp_path / "runs", extra_targets=str(beside), weights=str(weights))
    image = next((beside / "mesh" / "test" / "good").iterdir())
    was = image.read_bytes()
    image.write_bytes(was + b"\0")
    with pytest.raises(DataError, match=rf"The data in {beside} has changed .*masks: `mesh`\)"):
        _again(tmp_path / "runs")
    image.write_bytes(was)
    weights.write_bytes(b"two")
    with pytest.raises(DataError, match=f"The weights file {weights} has changed since the study `x` began"):
        _again(tmp_path / "runs")
    weights.unlink()
    with pytest.raises(DataError, match=f"The weights file {weights} is gone since the study `x` began"):
        _again(tmp_path / "runs")


def test_where_the_data_is_gone_the_result_is_shown_and_that_is_said(data: Path, tmp_path: Path) -> None:
    _finish(data, tmp_path / "runs")
    shutil.rmtree(data)
    told = _again(tmp_path / "runs")
    assert f"Whether its data has changed since cannot be told: There is no folder {data}" in told
    assert "Image AUROC on surfaces held out" in told


def test_a_file_whose_name_is_not_utf8_is_refused_before_anything_is_made(data: Path, tmp_path: Path) -> None:
    good = data / "grid" / "train" / "good"
    next(good.iterdir()).rename(good / os.fsdecode(b"n\xff.png"))
    with pytest.raises(DataError, match=r"grid/train/good/n\\xff.png` is not: rename it"):
        invoke(["launch", "--data", str(data), "--runs", str(tmp_path / "runs"), "--name", "y"])
    assert not (tmp_path / "runs").exists()


def test_one_that_other_code_has_made_is_shown_and_that_is_said(data: Path, tmp_path: Path) -> None:
    _finish(data, tmp_path / "runs")
    info = read_info(tmp_path / "runs" / "x")
    assert info is not None
    write_info(tmp_path / "runs" / "x", dataclasses.replace(info, code_version="0.0+old"))
    assert "It was made with dgad 0.0+old, and this is" in _again(tmp_path / "runs")


def test_one_that_has_not_finished_goes_on_with_the_same_code_and_weights_alone(
    data: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"one")
    study = _finish(data, tmp_path / "runs", weights=str(weights))
    (tmp_path / "runs" / "x" / SUMMARY_FILE).unlink()
    found = open_data(study, str(data))
    before = describe_inputs(study, found, "")
    assert before.weights_sha256 == compute_weights_sum(str(weights)) != ""
    check_unchanged(before, describe_inputs(study, found, ""), study, str(data))
    with pytest.raises(RecordError, match=r"begun with dgad 0, and this is"):
        check_unchanged(dataclasses.replace(before, code_version="0"), before, study, str(data))
    weights.write_bytes(b"two")
    now = describe_inputs(study, found, "")
    with pytest.raises(DataError, match=r"weights file .* has changed"):
        check_unchanged(before, now, study, str(data))
    # One of an earlier version has neither kept.
    old = dataclasses.replace(before, weights_sha256="", domain_fingerprints={})
    check_unchanged(old, now, study, str(data))
    with pytest.raises(DataError, match=r"has changed since the study `x` began, so its"):
        check_unchanged(dataclasses.replace(old, data_fingerprint="0"), now, study, str(data))


def test_weights_files_that_are_searched_are_held_too_and_decide_the_fits(data: Path, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"one")
    backbones = ("resnet18", f"resnet18 {weights}")
    study = _finish(data, tmp_path / "runs", weights="none", search_backbone=backbones)
    before = read_info(tmp_path / "runs" / "x")
    assert before is not None
    assert (before.weights_sha256, before.searched_weights_sha256) == (
        "",
        {str(weights): compute_weights_sum(str(weights))},
    )
    base = run_on(data, tmp_path)
    run = dataclasses.replace(base, study=study, searched_weights_sha256=before.searched_weights_sha256)
    drawn, filed = (run.fit_key("trivial", {"backbone": b}, ()) for b in backbones)
    assert drawn.id == run.fit_key("trivial", {}, ()).id
    assert (drawn.features["weights"], filed.features["weights"]) == ("none", str(weights))
    assert filed.features["weights_sha256"] == compute_weights_sum(str(weights))
    weights.write_bytes(b"two")
    with pytest.raises(DataError, match=f"The weights file {weights} has changed since the study `x` began"):
        _again(tmp_path / "runs")


def test_so_is_the_weights_file_of_a_second_backbone(data: Path, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"one")
    study = make_study({"data": str(data), "weights": "none", "second_backbone": f"resnet34 {weights} 8+16"})
    sums = describe_inputs(study, open_data(study, str(data)), "").searched_weights_sha256
    assert sums == {str(weights): compute_weights_sum(str(weights))}
    run = dataclasses.replace(run_on(data, tmp_path), study=study, searched_weights_sha256=sums)
    key = run.fit_key("patch_knn", {}, ())
    assert "weights_sha256" not in key.features
    assert key.features["second_weights_sha256"] == sums[str(weights)]
    assert read_fit_features(key) == study.features
