"""The audit finds a leak wherever one is planted: ledger, fit, record, references, sampler, early stop."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from dgad.errors import RecordError
from dgad.methods import METHODS
from dgad.records import Record, RecordStore
from dgad.settings import to_dict
from tests.conftest import Run as RunCommand
from tests.tune.conftest import DOMAINS
from tests.tune.helpers import run_on
from tune.fits.executor import FitExecutor
from tune.fits.run import Run
from tune.results.audit import audit
from tune.run_folder.folder import write_study
from tune.run_folder.journals import make_journal_path
from tune.run_folder.layout import SCORES_KEY, VALUES_KEY
from tune.run_folder.ledger import Ledger
from tune.search.refit import RefitWorker
from tune.search.seal import RefitJob, seal_selections
from tune.search.searcher import METRIC, MatrixSearcher, open_study
from tune.search.selection import average_values, read_inner_score, summarise_trials
from tune.study.cells import Cell, make_cells


@pytest.fixture(scope="module")
def honest(surfaces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole study of `patch_knn` on one target, made by the parts of a search without Ray around them."""
    run = run_on(surfaces, tmp_path_factory.mktemp("honest"))
    folder = run.folder
    study = dataclasses.replace(run.study, methods=("patch_knn",), folds=("grid",), trials=2, weights="none")
    run = dataclasses.replace(run, study=study)
    write_study(folder, study)
    cells = make_cells(study, DOMAINS, searched=["patch_knn"])
    ledger, bench = Ledger(run.ledger_location), FitExecutor(run)
    searcher = MatrixSearcher(cells, run.journals_folder, spaces=study.space_settings, seed=0)
    by_name = {c.name: c for c in cells}
    number = 0
    while isinstance(config := searcher.suggest(f"t{number}"), dict):
        scores = [_score(run, by_name[config["cell"]], config, i, bench, ledger) for i in range(2)]
        means = average_values(scores, study.figures)
        result = {
            METRIC: means["image_auroc"],
            SCORES_KEY: json.dumps({s.source: s.values["image_auroc"] for s in scores}),
            VALUES_KEY: json.dumps(means),
        }
        searcher.on_trial_complete(f"t{number}", {**result, "error": "", "done": True})
        number += 1
    trials = {c.name: summarise_trials(open_study(run.journals_folder, c.name, seed=0)) for c in cells}
    rows = seal_selections(cells, trials, ledger)
    worker = RefitWorker(run)
    for row in rows:
        if row.label == "patch_knn":
            worker.run(RefitJob(row=row, seed=0, with_examples=False))
    return folder


def _score(run: Run, cell: Cell, config: dict[str, str], i: int, bench: FitExecutor, ledger: Ledger):  # type: ignore[no-untyped-def]
    fold = cell.folds[i]
    key = run.fit_key(cell.method, json.loads(config["settings"]), fold.sources)
    ledger.append(cell.name, "fit", domains=key.sources, detail={"fit": key.id})
    record = bench.record(key, fold.target, label=cell.label, role="inner")
    return read_inner_score(cell, record, ledger, run.study.figures)


def test_an_honest_study_is_clean(honest: Path) -> None:
    found = audit(honest)
    assert found.breaches == ()
    assert found.num_entries > 8
    assert found.num_records == 2 * 2 + 1


Plant = Callable[[Path], None]


def _target_record(folder: Path) -> Record:
    return next(r for r in RecordStore(folder / "records").records() if r.target == "grid")


def _inner_record(folder: Path) -> Record:
    return next(r for r in RecordStore(folder / "records").records() if r.target != "grid")


def plant_in_objective(folder: Path) -> None:
    """The target's record judged a configuration, and the ledger has it."""
    record = _target_record(folder)
    Ledger(folder / "ledger").append(
        "patch_knn@grid", "objective", domains=("grid",), record_id=record.record_id
    )


def plant_in_sampler(folder: Path) -> None:
    """A value that no read accounts for was told to the sampler."""
    path = make_journal_path(folder / "optuna", "patch_knn@grid")
    text = path.read_text()
    record = _inner_record(folder)
    value = json.dumps(record.metrics.image_auroc)
    assert value in text
    path.write_text(text.replace(value, "0.123"))


def plant_in_early_stop(folder: Path) -> None:
    """The sampler's scores name the target."""
    path = make_journal_path(folder / "optuna", "patch_knn@grid")
    path.write_text(path.read_text().replace('\\"tile\\"', '\\"grid\\"'))


def plant_in_scheduler(folder: Path) -> None:
    """The early-stopping rule was told a figure of something else than the trial's inner folds."""
    study = open_study(folder / "optuna", "patch_knn@grid", seed=0)
    trial = study.ask()
    trial.set_user_attr("settings", "{}")
    trial.set_user_attr(SCORES_KEY, json.dumps({"tile": 0.5}))
    trial.report((_target_record(folder).metrics.image_auroc or 0.0) - 0.25, step=1)
    study.tell(trial, state=optuna.trial.TrialState.PRUNED)


def plant_in_shared_fit(folder: Path) -> None:
    """A fit that the cell used knows its target, whatever the ledger says."""
    ledger = Ledger(folder / "ledger")
    entry = next(e for e in ledger.entries() if e.purpose == "fit" and e.cell == "patch_knn@grid")
    for record in RecordStore(folder / "records").records():
        if record.fit.id == entry.detail["fit"]:  # else the record would speak for its fit
            (folder / "records" / f"{record.record_id}.parquet").unlink()
    about = folder.parent / ".shared" / "fits" / entry.detail["fit"] / "fit.json"
    values = json.loads(about.read_bytes())
    values["key"]["sources"] = ["grid"]
    about.write_text(json.dumps(values))


def _rewrite(folder: Path, old: Record, new: Record) -> None:
    store = RecordStore(folder / "records")
    for path in (folder / "records").iterdir():
        if old.record_id in path.name:
            path.unlink()
    store.write(new)


def plant_in_references(folder: Path) -> None:
    """A query stood among the references."""
    record = _inner_record(folder)
    _rewrite(folder, record, dataclasses.replace(record, reference_ids=record.sample_ids[:1]))


def plant_in_choice(folder: Path) -> None:
    """Other settings were scored than those that were sealed."""
    record = _target_record(folder)
    other = to_dict(METHODS["patch_knn"].presets["default"]) | {"top_fraction": 0.5}
    bent = dataclasses.replace(record, fit=dataclasses.replace(record.fit, settings=other))
    RecordStore(folder / "records").write(bent)
    Ledger(folder / "ledger").append("patch_knn@grid", "outer", domains=("grid",), record_id=bent.record_id)


def plant_a_late_judgement(folder: Path) -> None:
    """A configuration was judged after the seal."""
    record = _inner_record(folder)
    Ledger(folder / "ledger").append(
        "patch_knn@grid", "objective", domains=(record.target,), record_id=record.record_id
    )


def plant_another_data_set(folder: Path) -> None:
    """A surface that winners of `deploy` alone may be scored on judged a configuration."""
    record = _inner_record(folder)
    (folder / "run.json").write_text(json.dumps(INFO | {"extra_targets": [record.target]}))


def plant_a_choice_of_its_own(folder: Path) -> None:
    """What is scored on another data set is not what was chosen on all domains."""
    (folder / "run.json").write_text(json.dumps(INFO | {"extra_targets": ["01"]}))
    for cell, step in (("patch_knn@deploy", 1), ("patch_knn@01", 2)):
        Ledger(folder / "ledger").append(cell, "seal", detail={"settings": {"step": step}})


INFO = {"data_fingerprint": "f", "code_version": "1", "command": ""}


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (plant_another_data_set, "on which winners may only be scored"),
        (plant_a_choice_of_its_own, "is sealed with other settings than patch_knn@deploy"),
        (plant_in_objective, "was judged by its own target"),
        (plant_in_sampler, "that no read accounts for"),
        (plant_in_early_stop, "told its sampler a value of its target"),
        (plant_in_scheduler, "told its early-stopping rule"),
        (plant_in_shared_fit, "used a fit that was trained on its target"),
        (plant_in_references, "no train normal of its target"),
        (plant_in_choice, "scored with other settings than those it had sealed"),
        (plant_a_late_judgement, "judged a configuration after its seal"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_leak_is_found(honest: Path, tmp_path: Path, plant: Plant, message: str) -> None:
    folder = tmp_path / "x"
    shutil.copytree(honest.parent, tmp_path, dirs_exist_ok=True)
    plant(folder)
    assert any(message in breach for breach in audit(folder).breaches)


def test_the_command_tells_and_exits_1_for_a_leak(run: RunCommand, honest: Path, tmp_path: Path) -> None:
    clean = run("audit", "x", "--runs", honest.parent, script="dgad-tune")
    assert clean.returncode == 0, clean.stderr
    assert "no label read early" in clean.stdout
    shutil.copytree(honest, tmp_path / "x")
    plant_in_objective(tmp_path / "x")
    bent = run("audit", "x", "--runs", tmp_path, "--json", script="dgad-tune")
    assert bent.returncode == 1
    assert "judged by its own target" in " ".join(json.loads(bent.stdout)["breaches"])


def test_mistakes_get_one_sentence(run: RunCommand, tmp_path: Path) -> None:
    done = run("audit", "absent", "--runs", tmp_path, script="dgad-tune")
    assert done.returncode == 2
    assert "There is no study `absent`" in done.stderr
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match="has no ledger"):
        audit(tmp_path / "empty")
