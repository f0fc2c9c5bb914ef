"""TensorBoard and MLflow: what they show of a trial, and that they never stop a search."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from dgad.errors import SettingsError
from tests.conftest import Run
from tune.monitoring.trackers import (
    Trackers,
    Tracking,
    check_installed,
    check_trackers_answer,
    flatten_settings,
    make_figures,
    make_loggers,
)

CONFIG = {
    "cell": "comparer@wood",
    "number": 3,
    "settings": json.dumps({"num_steps": 40, "levels": [0, 1], "head": None, "deep": {"rate": 0.1}}),
}
FIGURES = make_figures({"grid": 0.5, "tile": 0.75, "marble": None}, 0.625, 2)


def test_settings_are_flat_values() -> None:
    assert flatten_settings({"a": 1, "b": {"c": [1, 2], "d": {"e": None}}, "f": True}) == {
        "a": 1,
        "b.c": "[1, 2]",
        "b.d.e": "none",
        "f": True,
    }


def test_figures_name_their_inner_folds() -> None:
    assert FIGURES == {
        "inner_score": 0.625,
        "inner_fold/grid": 0.5,
        "inner_fold/tile": 0.75,
        "training_iteration": 2,
    }
    assert "inner_score" not in make_figures({}, float("nan"), 1)


@pytest.mark.parametrize(
    ("option", "module"), [(["--tensorboard"], "tensorboardX"), (["--mlflow", "sqlite:///x.db"], "mlflow")]
)
def test_a_missing_package_is_one_sentence_before_anything_starts(
    option: list[str],
    module: str,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == module else find(name, *a)
    )
    done = run("launch", "--data", "nowhere", *option, script="dgad-tune")
    assert done.returncode == 2
    assert f"{option[0]} needs the package {module}, which is missing" in done.stderr
    assert "pip install 'dgad[watch]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_files_hold_settings_and_figures_and_survive_the_next_run(tmp_path: Path) -> None:
    trackers = Trackers(tensorboard=True)
    check_installed(trackers)
    kept: dict[Path, bytes] = {}
    for number in (3, 4):  # before and after the study was resumed
        tracking = Tracking(make_loggers(trackers, tmp_path, "x"), tmp_path, report=pytest.fail)
        config = {**CONFIG, "number": number}
        tracking.begin()
        tracking.start_trial(config)
        tracking.report_scores(config, FIGURES)
        tracking.end_trial(config, failed=False)
        tracking.close()
        (path,) = (tmp_path / "tensorboard" / "comparer@wood" / f"{number:04d}").glob("events.out.tfevents.*")
        told = path.read_bytes()
        for text in (b"ray/tune/inner_score", b"ray/tune/inner_fold/grid", b"deep.rate"):
            assert text in told
        assert {path: path.read_bytes() for path in kept} == kept
        kept[path] = told


def test_mlflow_has_a_run_a_trial_with_settings_figures_and_tags(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="comes with the extra `watch`")
    import mlflow

    trackers = Trackers(mlflow_uri=f"sqlite:///{tmp_path}/mlflow.db")
    broken_off = {**CONFIG, "number": 4}
    for resumed in range(2):
        check_trackers_answer(trackers, "study")
        tracking = Tracking(make_loggers(trackers, tmp_path, "study"), tmp_path, report=pytest.fail)
        tracking.begin()
        config = {**CONFIG, "number": 10 + resumed}
        tracking.start_trial(config)
        tracking.start_trial(config)  # its worker died
        tracking.report_scores(config, FIGURES)
        tracking.end_trial(config, failed=False)
        tracking.start_trial({**broken_off, "number": 20 + resumed})
        tracking.close()

    client = mlflow.MlflowClient(tracking_uri=trackers.mlflow_uri)
    experiment = client.get_experiment_by_name("study")
    assert experiment is not None
    runs: dict[str, Any] = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {f"comparer@wood/{number:04d}" for number in (10, 11, 20, 21)}
    run = runs["comparer@wood/0010"]
    assert run.info.status == "FINISHED"
    assert runs["comparer@wood/0020"].info.status == "KILLED"
    assert run.data.params["num_steps"] == "40"
    assert run.data.params["deep.rate"] == "0.1"
    assert run.data.metrics["inner_fold/grid"] == 0.5
    assert run.data.metrics["inner_score"] == 0.625
    assert run.data.tags["cell"] == "comparer@wood"
    assert run.data.tags["target"] == "wood"
    assert run.data.tags["study"] == "study"


@pytest.mark.parametrize("uri", ["nosuch://place", "mlruns"])
def test_an_address_that_mlflow_cannot_use_is_one_sentence(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="comes with the extra `watch`")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"cannot be used: .*; name a database"):
        check_trackers_answer(Trackers(mlflow_uri=uri), "x")


def test_a_tracker_that_fails_is_told_once_and_left_out(tmp_path: Path) -> None:
    told: list[str] = []
    loggers = make_loggers(Trackers(tensorboard=True), tmp_path, "x")
    (tmp_path / "tensorboard").write_text("in the way")
    tracking = Tracking(loggers, tmp_path, report=told.append)
    tracking.begin()
    for _ in range(2):
        tracking.start_trial(CONFIG)
        tracking.report_scores(CONFIG, FIGURES)
        tracking.end_trial(CONFIG, failed=False)
    tracking.close()
    assert len(told) == 1
    assert told[0].startswith("TensorBoard is left out for the rest of this run")
