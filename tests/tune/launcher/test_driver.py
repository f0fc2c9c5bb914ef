"""`dgad-tune launch` for real: what a whole study leaves, what it repeats, and what it refuses."""

import dataclasses
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.csv as pa_csv
import pytest
from click.testing import CliRunner, Result

from cluster.embedded import LocalRay
from dgad.bundle import read_bundle
from dgad.errors import DataError
from dgad.records import RecordStore
from dgad.report.summary import read_summary
from tests.tune.conftest import DOMAINS
from tests.tune.launches import arguments_of, invoke, stamps
from tests.tune.study.test_data import btad_like
from tune.cli import cli, main
from tune.results.audit import audit
from tune.run_folder.layout import RUNNING_FILE
from tune.run_folder.ledger import Ledger, find_leaks
from tune.run_folder.process import Running
from tune.run_folder.status import read_status

NUM_FITS = 3 * 2 + 3 * 2  # pairs and deploy folds, for two configurations of the initial design


@pytest.fixture(scope="module")
def finished(
    surfaces: Path, running_ray: LocalRay, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    """(the runs folder, what the command printed) of a whole study."""
    runs = tmp_path_factory.mktemp("finished") / "runs"
    result = invoke(arguments_of(surfaces, runs))
    assert result.exit_code == 0, result.output
    return runs, result


def test_a_study_leaves_records_ledger_report_and_bundle(finished: tuple[Path, Result]) -> None:
    runs, _ = finished
    folder = runs / "x"
    kept = {p.name for p in folder.iterdir() if not p.name.startswith(".")}
    assert kept == {
        "study.yaml",
        "run.json",
        "launch.log",
        "summary.json",
        "report.html",
        "report",
        "records",
        "ledger",
        "optuna",
        "examples",
        "bundle",
    }
    assert {p.name for p in (folder / "examples").iterdir()} == set(DOMAINS)
    summary = read_summary(folder)
    labels = ("comparer", "comparer:untrained", "patch_knn", "trivial")
    assert {(c.method, c.target) for c in summary.cells} == {
        *((label, t) for label in labels for t in DOMAINS),
        ("comparer", "deploy"),
    }
    known = set(RecordStore(folder / "records").ids())
    for cell in summary.cells:
        assert cell.error is None
        assert len(cell.record_ids) == (0 if cell.target == "deploy" else 1)
        assert set(cell.record_ids) <= known
    bundle = read_bundle(folder / "bundle")
    assert bundle.training_domains == DOMAINS
    assert summary.bundle is not None
    assert bundle.metrics["expected_image_auroc"] == summary.bundle.expected_image_auroc


def test_its_workers_share_the_users_feature_cache(finished: tuple[Path, Result], user_cache: Path) -> None:
    assert any((user_cache / "dgad" / "features").glob("*/*.arrow"))


def test_every_winner_has_the_best_inner_mean_of_its_cell(finished: tuple[Path, Result]) -> None:
    runs, _ = finished
    for cell in read_summary(runs / "x").cells:
        if cell.protocol == "nested":
            assert len(cell.trials) == 2
            best = max(cell.trials, key=lambda t: (t.value or 0.0, -t.number))
            assert cell.selected == best.settings
            assert cell.inner_score == best.value
            assert best.value == pytest.approx(sum(best.inner_scores.values()) / len(best.inner_scores))
            assert cell.target not in best.inner_scores


def test_the_ledger_proves_that_no_cell_looked_at_its_target(finished: tuple[Path, Result]) -> None:
    runs, _ = finished
    entries = Ledger(runs / "x" / "ledger").entries()
    assert find_leaks(entries) == ()
    for target in DOMAINS:
        own = [e for e in entries if e.cell == f"comparer@{target}"]
        seal = next(i for i, e in enumerate(own) if e.purpose == "seal")
        assert {e.purpose for e in own[:seal]} == {"fit", "objective"}
        assert [e.purpose for e in own[seal + 1 :]] == ["fit", "outer"]


def test_fits_are_shared_between_cells(finished: tuple[Path, Result]) -> None:
    runs, _ = finished
    summary = read_summary(runs / "x")
    winners_elsewhere = 3 + 1 + 3 + 2  # at most: winners, deploy, untrained, and two peers
    assert NUM_FITS <= summary.fits_computed <= NUM_FITS + winners_elsewhere
    assert summary.fits_computed + summary.fits_reused == 2 * (3 * 2 + 3) + 4 * 3 + 1


def test_in_a_pipe_it_prints_plain_lines_and_the_leaderboard(finished: tuple[Path, Result]) -> None:
    runs, result = finished
    assert "\x1b" not in result.output
    assert "[8/8] comparer@" in result.output
    for text in ("Image AUROC on surfaces held out", "comparer:untrained", "patch_knn", "trivial"):
        assert text in result.output
    assert f"Report: {runs / 'x' / 'report.html'}" in result.output


def test_the_same_name_again_computes_nothing(finished: tuple[Path, Result], surfaces: Path) -> None:
    runs, _ = finished
    before = stamps(runs / "x")
    result = invoke(["launch", "--runs", str(runs), "--name", "x", "--json"])
    assert result.exit_code == 0
    assert stamps(runs / "x") == before
    told = json.loads(result.stdout)
    assert told["leaderboard"][0]["mean"]["value"] > 0
    assert told["bundle"]["method"] == "comparer"


def test_one_that_was_killed_after_its_summary_is_seen_through_by_name(
    finished: tuple[Path, Result],
) -> None:
    folder = finished[0] / "x"
    ended = subprocess.Popen(["true"])
    ended.wait()
    mark = Running(pid=ended.pid, born="", host=socket.gethostname(), started_at="2030-01-01T00:00:00+00:00")
    (folder / RUNNING_FILE).write_text(json.dumps(dataclasses.asdict(mark)))
    (folder / "report.html").unlink()
    assert read_status(folder).state == "interrupted"
    assert invoke(["launch", "--runs", str(finished[0]), "--name", "x"]).exit_code == 0
    assert read_status(folder).state == "finished"
    assert (folder / "report.html").is_file()


def test_the_same_name_with_other_settings_or_data_is_refused(
    finished: tuple[Path, Result], surfaces: Path
) -> None:
    runs, _ = finished
    before = stamps(runs / "x")
    result = _main("launch", "--runs", str(runs), "--name", "x", "--trials", "5")
    assert result.returncode == 2
    assert "`trials` is 2 there and 5 here" in result.stderr
    assert stamps(runs / "x") == before


def test_another_study_computes_nothing_again_and_shows_what_peeking_is_worth(
    finished: tuple[Path, Result], surfaces: Path, tmp_path: Path
) -> None:
    """With further numbers of references, and another data set to be tried on."""
    runs, _ = finished
    arguments = arguments_of(
        surfaces, runs, "--protocol", "nested,oracle", "--constraint", "ms_per_image<=9999"
    )
    arguments[arguments.index("x")] = "y"
    arguments += ["--extra-targets", str(btad_like(tmp_path))]
    with open(arguments[arguments.index("--study") + 1], "a") as study_file:
        study_file.write("reference_counts: [1, all]\n")
    before = stamps(runs / "x")
    result = invoke(arguments)
    assert result.exit_code == 0, result.output
    assert {k: v for k, v in stamps(runs / "x").items() if k in before} == before
    one, other = read_summary(runs / "x"), read_summary(runs / "y")
    nested = {c.target: c for c in other.cells if c.method == "comparer" and c.protocol == "nested"}
    for cell in one.cells:
        if cell.protocol == "nested":
            # Trial 0 is of the initial design; what a sampler proposes after it may differ.
            assert nested[cell.target].trials[0].inner_scores == cell.trials[0].inner_scores
    assert other.fits_elsewhere > 0
    oracle = [c for c in other.cells if c.protocol == "oracle"]
    assert {c.target for c in oracle} == set(DOMAINS)
    for cell in oracle:
        assert set(cell.trials[0].inner_scores) == {cell.target}
    assert "comparer [oracle]" in result.output
    assert "Image AUROC on another data set, fitted on all 3 domains" in result.output
    assert "the optimism of peeking at the target" in result.output
    assert 'id="table-protocols"' in (runs / "y" / "report.html").read_text()
    found = audit(runs / "y")
    assert found.breaches == ()
    assert len(found.oracles) == len(DOMAINS)
    _check_more_references(runs / "y")
    _check_extra_targets(runs / "y")
    _check_nothing_is_repeated(runs)


def _check_more_references(folder: Path) -> None:
    records = {r.record_id: r for r in RecordStore(folder / "records").records()}
    summary = read_summary(folder)
    for cell in summary.cells:
        (base,) = cell.record_ids or (None,)
        assert set(cell.more_record_ids) == ({"1", "all"} if base else set())
        for asked, (record_id,) in cell.more_record_ids.items():
            assert records[record_id].fit == records[base].fit
            most = 5 if cell.target in summary.extra_targets else 6
            assert records[record_id].num_references == (1 if asked == "1" else most)
    rows = pa_csv.read_csv(folder / "report" / "tables" / "reference_curves.csv").to_pylist()
    image = [r for r in rows if (r["metric"], r["method"]) == ("image_auroc", "comparer")]
    assert [(r["asked"], r["num_references"]) for r in image] == [("1", 1), ("3", 3), ("all", 6)]
    state = read_status(folder)
    assert state.refits_done == state.refits_planned


def _check_extra_targets(folder: Path) -> None:
    records = {r.record_id: r for r in RecordStore(folder / "records").records()}
    summary = read_summary(folder)
    assert (summary.domains, summary.extra_targets) == (DOMAINS, ("01", "02"))
    shared = RecordStore(folder.parent / ".shared" / "records")
    assert {r.target for r in shared.records()} == set(DOMAINS)
    deployed = {c.method: c.selected for c in summary.cells if c.target == "deploy"}
    assert set(deployed) == {"comparer", "trivial"}
    there = [c for c in summary.cells if c.target == "01"]
    assert {c.label for c in there} == {"comparer", "comparer:untrained", "patch_knn", "trivial"}
    for cell in there:
        (record_id,) = cell.record_ids
        assert records[record_id].target == "01"
        if cell.method in deployed:
            assert cell.selected == deployed[cell.method]
        if cell.method == "comparer" and cell.selected["num_steps"]:
            assert records[record_id].fit.sources == DOMAINS
    assert read_bundle(folder / "bundle").training_domains == DOMAINS
    page = (folder / "report.html").read_text()
    assert 'id="table-other-image_auroc"' in page
    assert 'id="table-distances"' in page
    assert summary.distances is not None
    assert summary.distances.domains == DOMAINS


def _check_nothing_is_repeated(runs: Path) -> None:
    """Without its summary the study goes on, and finds everything done."""
    before, entries = stamps(runs / "y"), Ledger(runs / "y" / "ledger").entries()
    summary = read_summary(runs / "y")
    (runs / "y" / "summary.json").unlink()
    assert invoke(["launch", "--runs", str(runs), "--name", "y"]).exit_code == 0
    assert stamps(runs / "y") == before
    assert Ledger(runs / "y" / "ledger").entries() == entries
    assert read_summary(runs / "y").cells == summary.cells


def test_what_failed_is_told_and_tried_again_only_when_asked(
    finished: tuple[Path, Result], surfaces: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(finished[0] / ".shared" / "fits", runs / ".shared" / "fits")
    for path in runs.glob(".shared/fits/*/fit.json"):
        about = json.loads(path.read_bytes())
        if about["key"]["sources"]:  # what learns
            path.write_text(json.dumps({**about, "status": "failed", "error": "the loss became nan"}))
    arguments = arguments_of(surfaces, runs, "--folds", "grid", "--trials", "1")
    result = invoke(arguments)
    assert result.exit_code == 0, result.output
    assert "comparer on grid failed: every trial of the cell failed" in result.output
    folder = runs / "x"
    (trial,) = next(c for c in read_summary(folder).cells if c.target == "grid").trials
    assert trial.status == "failed"
    assert trial.error is not None
    assert trial.error.startswith("the loss became nan (traceback: logs/")
    assert "TrainingError: the loss became nan" in next(folder.glob("logs/*.log")).read_text()
    assert "the loss became nan" in (folder / "report.html").read_text()
    assert not (folder / "bundle").exists()

    again = invoke(arguments)
    assert "comparer on grid failed" in again.output

    retried = invoke([*arguments, "--retry-failed"])
    assert retried.exit_code == 0, retried.output
    assert "Trying again what failed" in retried.output
    summary = read_summary(folder)
    assert all(c.error is None for c in summary.cells)
    assert [t.status for c in summary.cells for t in c.trials] == ["complete", "complete"]
    assert (folder / "bundle").is_dir()
    assert audit(folder).breaches == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folds", "wodd"], "No domain `wodd`"),
        (["--methods", "compare"], "Did you mean `comparer`?"),
        (["--num-references", "0"], "at least 1, but got 0"),
        (["--num-references", "99"], "at most 6"),
        (["--protocol", "peek"], "must be one of nested, source-validation, oracle, but got 'peek'"),
        (["--cpus-per-trial", "999"], "or no trial would ever start"),
        (["--objectives", "ms_per_image"], "`objectives` must begin with one of image_auroc"),
        (["--constraint", "ms <= 3"], "can bound image_auroc"),
        (["--device", "tpu"], "`device` must be auto, cpu, cuda or cuda:N"),
        (["--data", "nowhere"], "nowhere"),
        (["--study", "unknown.yaml"], "line 2: unknown key `trails`"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    surfaces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "unknown.yaml").write_text("seed: 1\ntrails: 3\n")
    data = [] if "--data" in arguments else ["--data", str(surfaces)]
    monkeypatch.setattr(sys, "argv", ["dgad-tune", "launch", "--scale", "squash 64", *data, *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert not (tmp_path / "runs").exists()


def test_an_unreadable_image_is_told_before_anything_is_started(surfaces: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(surfaces, data)
    image = data / "tile" / "train" / "good" / "000.png"
    image.write_bytes(image.read_bytes()[:200])
    result = CliRunner().invoke(cli, arguments_of(data, tmp_path / "runs"))
    assert isinstance(result.exception, DataError)
    assert str(result.exception).startswith(f"{image} is damaged")
    assert f"`dgad domains check {data}`" in str(result.exception)
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_counts_measures_and_leaves_nothing(surfaces: Path, tmp_path: Path) -> None:
    result = invoke([*arguments_of(surfaces, tmp_path / "runs"), "--dry-run", "--json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["fits"] == NUM_FITS + (3 + 1) + 3 + 3 + 1
    assert told["fits_alone"] > told["fits"]
    assert told["step_ms"] > 0
    assert told["estimate_s"] > 0
    assert not (tmp_path / "runs").exists()


def _main(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tune.cli", *arguments], capture_output=True, text=True, timeout=300
    )
