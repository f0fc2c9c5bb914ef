"""What other processes are told of a study, from its folder alone."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from dgad.report.summary import CellSummary, StudySummary, write_summary
from tests.conftest import Run
from tune.commands.watch import follow_lines
from tune.run_folder.journals import make_journal_path
from tune.run_folder.layout import (
    ENDED_FILE,
    ERROR_KEY,
    RETRY_OF_KEY,
    RUNNING_FILE,
    SCORES_KEY,
    SHARED_FOLDER,
)
from tune.run_folder.ledger import Ledger
from tune.run_folder.process import Ended, RunMark, read_running
from tune.run_folder.status import read_state, read_status
from tune.search.searcher import open_study

CELL = "comparer:paper@wood, oak"  # a name that a file cannot have as it is


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study of three trials a cell that nothing runs."""
    folder = tmp_path / "runs" / "x"
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text("name: x\ntrials: 3\nseeds: 2\n")
    (folder / "run.json").write_text('{"started_at": "2026-01-02T03:04:05+00:00", "wall_s": 65.0}')
    return folder


def _journal(folder: Path) -> optuna.Study:
    """A trial seen through, one stopped early, one left by a killed run, one that failed, one that failed
    and was tried again, which runs."""
    study = open_study(folder / "optuna", CELL, seed=0)
    complete, stopped, left, failed, tried = (study.ask() for _ in range(5))
    complete.set_user_attr(SCORES_KEY, json.dumps({"a": 0.5, "b": 1.0}))
    study.tell(complete, 0.75)
    stopped.set_user_attr(SCORES_KEY, json.dumps({"a": 0.9}))
    stopped.report(0.9, step=1)
    study.tell(stopped, state=optuna.trial.TrialState.PRUNED)
    study.tell(left, state=optuna.trial.TrialState.FAIL)
    failed.set_user_attr(ERROR_KEY, "the loss became nan")
    study.tell(failed, state=optuna.trial.TrialState.FAIL)
    tried.set_user_attr(ERROR_KEY, "the disk was full")
    study.tell(tried, state=optuna.trial.TrialState.FAIL)
    study.enqueue_trial({}, user_attrs={RETRY_OF_KEY: tried.number})
    study.ask()
    study.enqueue_trial({})
    return study


def _fit(folder: Path, name: str, outcome: str, study: str = "x") -> None:
    place = folder.parent / SHARED_FOLDER / "fits" / name
    place.mkdir(parents=True)
    (place / "fit.json").write_text(json.dumps({"status": outcome, "study": study}))


def _summary(folder: Path, error: str | None) -> None:
    cell = CellSummary(
        method="comparer", target="wood", protocol="nested", selected={}, inner_score=None, error=error
    )
    values = {
        f.name: ""
        for f in dataclasses.fields(StudySummary)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    numbers = {"trials_per_cell": 3, "wall_s": 1.0, "fits_computed": 0, "fits_reused": 0}
    empty = {"domains": (), "methods": (), "seeds": (), "features": {}, "versions": {}, "cells": (cell,)}
    write_summary(folder, StudySummary(**{**values, **numbers, **empty}))


def test_trials_fits_and_refits_are_counted(folder: Path) -> None:
    _journal(folder)
    ledger = Ledger(folder / "ledger")
    for name, outcome in (("f1", "ok"), ("f2", "ok"), ("f3", "failed"), ("f4", "ok")):
        _fit(folder, name, outcome)
        ledger.append(CELL, "fit", detail={"fit": name})
    _fit(folder, "elsewhere", "ok", study="y")
    ledger.append(CELL, "fit", detail={"fit": "elsewhere"})
    _fit(folder, "never asked for", "ok", study="y")
    ledger.append("comparer@wood", "seal")  # opened again by a trial that was tried again
    ledger.append("comparer@wood", "seal", detail={"settings": {}})
    for cell in (CELL, "comparer@deploy"):
        ledger.append(cell, "fit", detail={"fit": "f1"})
        ledger.append(cell, "seal", detail={"settings": {}})
    ledger.append("comparer@grid", "seal")  # every trial of it failed
    ledger.append(CELL, "outer", record_id="r1")
    ledger.append(CELL, "outer", record_id="not there yet")
    ledger.append("comparer@deploy", "fit", detail={"fit": "f4"})
    (folder / "records").mkdir()
    (folder / "records" / "r1.parquet").touch()

    found = read_status(folder)
    (cell,) = found.cells
    assert dataclasses.asdict(cell) == {
        "name": CELL,
        "planned": 3,
        "done": 3,
        "stopped": 1,
        "failed": 1,
        "running": 0,  # one is in the journal, and nothing runs
        "best": 0.75,
    }
    assert (found.fits.computed, found.fits.failed) == (3, 1)
    assert found.fits.shared == (2 + 1 + 1 + 2) - 4
    assert (found.refits_done, found.refits_planned) == (2, 2 + 2 + 1)
    assert (found.state, found.elapsed_s, found.search_left_s) == ("interrupted", 65.0, None)


def test_a_running_study_shows_what_runs_and_what_is_left(folder: Path) -> None:
    study = _journal(folder)
    path = make_journal_path(folder / "optuna", CELL)
    RunMark(folder).write()
    with open(path, "ab") as file:  # a line that is being written
        file.write(b'{"op_code": 5, "wor')
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    found = read_status(folder)
    assert found.state == "running"
    assert found.process is not None
    assert (found.done, found.planned, found.cells[0].running) == (3, 3, 1)
    assert found.search_left_s is None  # nothing is left to search
    assert found.elapsed_s >= 65.0
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    (folder / "study.yaml").write_text("name: x\ntrials: 9\n")
    left_s = read_status(folder).search_left_s
    assert left_s is not None
    durations = [t.duration for t in study.get_trials() if t.duration]
    mean_s = sum(d.total_seconds() for d in durations[:2] + durations[3:4]) / 3
    assert left_s == pytest.approx(6 * mean_s, abs=1e-3)


def test_the_state_is_that_of_the_last_run(folder: Path) -> None:
    def state() -> str:
        return read_state(folder)[0]

    assert state() == "interrupted"
    _summary(folder, None)
    assert state() == "finished"
    _summary(folder, "every trial of the cell failed")
    assert read_state(folder)[:2] == ("failed", "comparer@wood: every trial of the cell failed")
    RunMark(folder).write()
    assert state() == "running"
    values = json.loads((folder / RUNNING_FILE).read_text())
    (folder / RUNNING_FILE).write_text(json.dumps({**values, "born": "another process"}))
    assert read_state(folder) == ("interrupted", f"process {values['pid']} was killed", None)
    (folder / RUNNING_FILE).unlink()
    ended = Ended(outcome="failed", error="disk full", at="")
    (folder / ENDED_FILE).write_text(json.dumps(dataclasses.asdict(ended)))
    assert read_state(folder) == ("failed", "disk full", None)


def test_commands_name_what_there_is(folder: Path, run: Run) -> None:
    for command in ("status", "logs", "stop"):
        done = run(command, "y", script="dgad-tune")
        assert done.returncode == 2
        assert done.stderr == "Error: There is no study `y` in runs: it has x.\n"
        assert run(command, "x/../x", script="dgad-tune").returncode == 2
    assert "`dgad-tune launch` begins one" in run("list", "--runs", "none", script="dgad-tune").stdout
    _journal(folder)
    assert run("list", script="dgad-tune").stdout.split("\n")[1].split() == [
        *("x", "interrupted", "3/3", "-", "2026-01-02", "03:04", "1:05")
    ]
    told = run("status", "x", script="dgad-tune")
    assert told.returncode == 0
    assert "x: interrupted\n" in told.stdout
    assert [line.split() for line in told.stdout.split("\n") if line.startswith(CELL)] == [
        [*CELL.split(), "3/3", "-", "1", "1", "0.750"]
    ]
    (listed,) = json.loads(run("list", "--json", script="dgad-tune").stdout)["studies"]
    assert (listed["name"], listed["best_mean_image_auroc"], listed["trials_done"]) == ("x", None, 3)
    stopped = run("stop", "x", script="dgad-tune")
    assert stopped.returncode == 2
    assert "is not running: it is interrupted. To go on: dgad-tune launch --name x" in stopped.stderr


def test_a_study_on_another_host_is_shown_and_not_stopped(folder: Path, run: Run) -> None:
    RunMark(folder).write()
    running = read_running(folder)
    assert running is not None
    values = dataclasses.asdict(dataclasses.replace(running, host="far"))
    (folder / RUNNING_FILE).write_text(json.dumps(values))
    assert "running on far?" in run("list", script="dgad-tune").stdout
    stopped = run("stop", "x", script="dgad-tune")
    assert stopped.returncode == 2
    assert "on the host far: stop it there" in stopped.stderr


def test_logs_go_on_with_whole_lines_until_nothing_more_comes(tmp_path: Path) -> None:
    path = tmp_path / "launch.log"
    writes = iter(["one\ntw", "o\n", "", "three\n"])

    def goes_on() -> bool:
        text = next(writes, None)
        if text is None:
            return False
        with open(path, "a") as file:
            file.write(text)
        return True

    assert list(follow_lines(path, goes_on)) == ["one\n", "two\n", "three\n"]
    assert list(follow_lines(tmp_path / "none", lambda: False)) == []


def test_watching_waits_for_neither_torch_nor_ray(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tune.run_folder.status import read_status;"
        f"import tune.commands.watch; read_status(Path({str(folder)!r}));"
        "print([m for m in ('torch', 'ray') if m in sys.modules])"
    )
    _journal(folder)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
