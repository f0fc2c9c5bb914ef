"""A real study in a process of its own, watched, stopped, killed and resumed from others."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune.run_folder.layout import RUNNING_FILE
from tune.run_folder.process import read_running
from tune.run_folder.status import read_status

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="kills processes as Linux has them"),
    pytest.mark.timeout(1200),
]
SETTINGS = """
space: demo
trials: 2
num_references: 3
image_size_px: 64
weights: none
normalisation: pretrained
spaces: {comparer: {num_steps: 240}}
"""
"""Long enough for what needs it running: commands take their seconds, on a busy machine many."""
TIMEOUT_S = 400


def test_a_study_is_watched_stopped_killed_and_resumed(surfaces: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="comes with the extra `watch`")
    runs = tmp_path / "runs"
    database = f"sqlite:///{tmp_path}/mlflow.db"
    settings = tmp_path / "settings.yaml"
    settings.write_text(SETTINGS)
    begin = ("launch", "--runs", runs, "--name", "x", "--tensorboard", "--mlflow", database)
    data = ("--data", surfaces, "--study", settings, "--folds", "grid")

    # As a script starts it in the background, where Ctrl-C would not reach it.
    launch = _start(*begin, *data, ignore_interrupt=True)
    _wait(launch, lambda: (runs / "x" / RUNNING_FILE).is_file())
    follower = _start("logs", "x", "-f", "--runs", runs)
    _wait(launch, lambda: read_status(runs / "x").done >= 1)
    found = _status(runs)
    assert found["state"] == "running"
    assert found["process"]["pid"] == launch.pid
    assert found["process"]["dashboard_url"].startswith("http://127.0.0.1:")
    assert found["trials_planned"] == 4
    assert [c["name"] for c in found["cells"]] == ["comparer@deploy", "comparer@grid"]
    assert found["fits"]["computed"] >= 1
    assert found["elapsed_s"] > 0
    # A trial may end while it is listed: the count lies between those of before and after.
    (listed,) = _done("list", "--runs", runs).splitlines()[1:]
    name, state, trials = listed.split()[:3]
    assert (name, state) == ("x", "running")
    assert trials in [f"{n}/4" for n in range(found["trials_done"], _status(runs)["trials_done"] + 1)]
    assert follower.poll() is None

    stopped = _done("stop", "x", "--runs", runs)
    assert f"To go on: dgad-tune launch --name x --runs {runs}" in stopped
    shown, told = launch.communicate(timeout=120)
    assert launch.returncode == 130, told
    assert "Traceback" not in told
    followed, _ = follower.communicate(timeout=120)
    assert follower.returncode == 0
    assert followed == _done("logs", "x", "--runs", runs)
    said = [line.partition(" ")[2] for line in followed.splitlines()]
    assert said[0].startswith("Run begins: ")
    assert said[-1] == "Stopped; the same name again goes on."
    assert [line for line in said if line.startswith("[")] == [
        line for line in shown.splitlines() if line.startswith("[")
    ]
    found = _status(runs)
    assert (found["state"], found["process"]) == ("interrupted", None)
    assert _run("stop", "x", "--runs", runs).returncode == 2
    events = _events(runs)
    assert events

    # Killed, it cannot say goodbye: its word is still there, and nobody believes it.
    launch = _start(*begin)
    _wait(launch, lambda: read_status(runs / "x").state == "running")
    launch.send_signal(signal.SIGKILL)
    launch.communicate(timeout=120)
    assert (runs / "x" / RUNNING_FILE).is_file()
    found = _status(runs)
    assert (found["state"], found["process"]) == ("interrupted", None)
    assert found["reason"] == f"process {launch.pid} was killed"

    # A polite kill, while Ray runs, is a Ctrl-C.
    launch = _start(*begin)
    _wait(launch, lambda: _has_dashboard(runs / "x"))
    launch.terminate()
    _, told = launch.communicate(timeout=180)
    assert launch.returncode == 130, told
    assert _status(runs)["state"] == "interrupted"

    launch = _start(*begin)
    _, told = launch.communicate(timeout=TIMEOUT_S)
    assert launch.returncode == 0, told
    found = _status(runs)
    assert (found["state"], found["process"], found["search_left_s"]) == ("finished", None, None)
    assert found["trials_done"] == found["trials_planned"] == 4
    assert found["refits_done"] == found["refits_planned"] > 0
    summary = json.loads((runs / "x" / "summary.json").read_text())
    assert found["fits"] == {
        "computed": summary["fits_computed"],
        "shared": summary["fits_reused"],
        "failed": 0,
    }
    (kept_study,) = json.loads(_done("list", "--runs", runs, "--json"))["studies"]
    assert 0 <= kept_study["best_mean_image_auroc"] <= 1
    log = _done("logs", "x", "-f", "--runs", runs)
    assert log.startswith(followed)
    assert log.count("Run begins: ") == 4
    assert log.endswith(" Finished.\n")

    kept = _events(runs)
    assert {path: kept[path] for path in events} == events
    assert len(kept) > len(events)
    _check_mlflow(database)


def _check_mlflow(database: str) -> None:
    """A run a trial; those that were broken off say so, but for what the kill cut off."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=database)
    experiment = client.get_experiment_by_name("x")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    finished = [r for r in found if r.info.status == "FINISHED"]
    assert len({r.info.run_name for r in finished}) == len(finished) == 4
    for one in finished:
        assert one.data.tags["cell"] in ("comparer@grid", "comparer@deploy")
        assert one.data.params["num_steps"].isdigit()
        folds = [v for name, v in one.data.metrics.items() if name.startswith("inner_fold/")]
        assert len(folds) == (2 if one.data.tags["target"] == "grid" else 3)
        assert one.data.metrics["inner_score"] == pytest.approx(sum(folds) / len(folds))


def _start(*arguments: object, ignore_interrupt: bool = False) -> subprocess.Popen[str]:
    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN if ignore_interrupt else signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, "-m", "tune.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tune.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)


def _done(*arguments: object) -> str:
    done = _run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _status(runs: Path) -> Any:
    return json.loads(_done("status", "x", "--runs", runs, "--json"))


def _has_dashboard(folder: Path) -> bool:
    running = read_running(folder)
    return running is not None and running.dashboard_url is not None


def _wait(launch: subprocess.Popen[str], is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert launch.poll() is None, launch.communicate()
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.1)


def _events(runs: Path) -> dict[Path, int]:
    """TensorBoard's files and their sizes."""
    return {p: p.stat().st_size for p in (runs / "x" / "tensorboard").rglob("events.out.tfevents.*")}
