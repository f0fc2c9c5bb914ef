"""A nested study that searches the scale: trials, records, seal, refits, summary and bundle, in process."""

import dataclasses
import json
from pathlib import Path

import pytest

from dgad.bundle import read_bundle
from dgad.records import Record, RecordStore
from dgad.report.summary import StudySummary
from tests.tune.conftest import DOMAINS
from tests.tune.helpers import run_on
from tune.fits.executor import FitExecutor
from tune.fits.run import Run, read_fit_features
from tune.launcher.preflight import plan_matrix
from tune.results.audit import audit
from tune.results.summarise import summarise
from tune.run_folder.folder import RunInfo, read_study, write_info, write_study
from tune.run_folder.ledger import Ledger
from tune.search.refit import RefitWorker
from tune.search.seal import UNTRAINED, RefitJob, SealedRow, seal_selections
from tune.search.searcher import METRIC, MatrixSearcher
from tune.search.selection import average_values, read_inner_score
from tune.search.trainable import SCORES_KEY, VALUES_KEY
from tune.spaces.reading import read_spaces
from tune.study.data import open_data

SCALES = ("fit 32", "fit 64")


@dataclasses.dataclass(frozen=True)
class Done:
    """What the study left."""

    run: Run
    rows: tuple[SealedRow, ...]
    records: tuple[Record, ...]
    summary: StudySummary


@pytest.fixture(scope="module")
def done(surfaces: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One configuration of the comparer, on two scales, that no training tells apart."""
    run = run_on(surfaces, tmp_path_factory.mktemp("scales"))
    fixed = {"init": "difference", "head": "distance", "num_steps": 0, "num_levels": 1, "finest_stride": 8}
    fixed |= {"score_pooling": "max", "reference_norm": True, "aggregation": "min"}
    spaces = read_spaces({"comparer": {**fixed, "density_correction": False}})
    study = dataclasses.replace(
        run.study,
        folds=("grid",),
        trials=3,
        weights="none",
        backbone="test_resnet",
        spaces=spaces,
        search_scale=SCALES,
    )
    run = dataclasses.replace(run, study=study)
    write_study(run.folder, study)
    info = RunInfo(data_fingerprint="f", code_version="1", command="x")
    write_info(run.folder, info)
    cells = plan_matrix(study, open_data(study, str(surfaces)).dataset).cells
    ledger, bench = Ledger(run.ledger_location), FitExecutor(run)
    searcher = MatrixSearcher(cells, run.journals_folder, spaces=study.space_settings, seed=0)
    by_name = {c.name: c for c in cells}
    number = 0
    while isinstance(config := searcher.suggest(f"t{number}"), dict):
        cell, scores = by_name[config["cell"]], []
        for fold in cell.folds:
            key = run.fit_key(cell.method, json.loads(config["settings"]), fold.sources)
            ledger.append(cell.name, "fit", domains=key.sources, detail={"fit": key.id})
            record = bench.record(key, fold.target, label=cell.label, role="inner")
            scores.append(read_inner_score(cell, record, ledger, study.figures))
        means = average_values(scores, study.figures)
        told = {s.source: s.values["image_auroc"] for s in scores}
        result = {METRIC: means["image_auroc"], SCORES_KEY: json.dumps(told), VALUES_KEY: json.dumps(means)}
        searcher.on_trial_complete(f"t{number}", {**result, "error": "", "done": True})
        number += 1
    rows = seal_selections(cells, searcher.trials(), ledger, beside=(UNTRAINED,))
    worker = RefitWorker(run)
    for row in rows:
        worker.run(RefitJob(row=row, seed=0, with_examples=row.label == "comparer"))
    summary = summarise(run, info, rows, bench, {}, num_requests=0, not_applicable={})
    records = RecordStore(run.records_location).records()
    return Done(run=run, rows=rows, records=records, summary=summary)


def test_every_trial_has_a_scale_and_its_records_carry_it(done: Done) -> None:
    cell = done.summary.cells[0]
    assert [t.settings["scale"] for t in cell.trials[:2]] == list(SCALES)
    assert {read_fit_features(r.fit).scale for r in done.records} == set(SCALES)
    assert all("scale" not in r.fit.settings for r in done.records)
    by_scale = {r.fit.features["scale"]: r for r in done.records if r.role == "inner" and r.target == "tile"}
    assert by_scale[SCALES[0]].image_scores != by_scale[SCALES[1]].image_scores


def test_the_winner_s_scale_is_sealed_refitted_and_bundled(done: Done) -> None:
    cell = done.summary.cells[0]
    best = max(cell.trials, key=lambda t: (t.value or 0.0, -t.number))
    assert cell.selected["scale"] == best.settings["scale"]
    (outer,) = [r for r in done.records if r.record_id in cell.record_ids]
    assert outer.fit.features["scale"] == cell.selected["scale"]
    untrained = next(row for row in done.rows if row.label == UNTRAINED)
    assert untrained.selection is not None
    assert untrained.selection.settings["scale"] == cell.selected["scale"]
    deploy = next(row for row in done.rows if row.target == "deploy")
    assert deploy.selection is not None
    bundle = read_bundle(done.run.folder / "bundle")
    assert bundle.features.scale == deploy.selection.settings["scale"]
    assert "scale" not in bundle.settings


def test_the_study_file_is_read_back_and_the_audit_finds_nothing(done: Done) -> None:
    assert read_study(done.run.folder) == done.run.study
    assert done.summary.searched_features == {"scale": list(SCALES)}
    assert audit(done.run.folder).breaches == ()


def test_the_audit_finds_a_target_scored_at_another_scale_than_the_sealed_one(done: Done) -> None:
    cell = done.summary.cells[0]
    other = next(s for s in SCALES if s != cell.selected["scale"])
    key = done.run.fit_key("comparer", {**cell.selected, "scale": other}, DOMAINS[1:])
    record = FitExecutor(done.run).record(key, "grid", label="comparer", role="outer")
    Ledger(done.run.ledger_location).append(
        "comparer@grid", "outer", domains=("grid",), record_id=record.record_id
    )
    (breach,) = audit(done.run.folder).breaches
    assert "was scored with other settings than those it had sealed" in breach


def test_milliseconds_a_megapixel_are_of_the_photographs_as_they_came(done: Done) -> None:
    for record in done.records:
        assert record.ms_per_image is not None
        assert record.ms_per_megapixel == pytest.approx(record.ms_per_image / (64 * 64 / 1e6))
