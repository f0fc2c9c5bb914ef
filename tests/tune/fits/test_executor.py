"""Fitting and scoring in one process: records, failures, and one fit for several targets."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dgad.domains import open_dataset
from dgad.errors import RecordError, TrainingError
from dgad.methods import METHODS
from dgad.settings import to_dict
from dgad.training.halves import split_halves
from dgad.training.sources import SourceDomain
from tests.tune.helpers import run_on
from tune.fits.executor import MAX_RETRIES, FitExecutor
from tune.fits.run import compute_code_version

QUICK = {
    **to_dict(METHODS["comparer"].presets["robust"]),
    "backbone_mode": "frozen",
    "num_steps": 2,
    "num_reference_patches": 32,
    "max_memory_patches": 64,
}


def test_one_fit_serves_two_targets_and_a_record_is_never_computed_again(
    surfaces: Path, tmp_path: Path
) -> None:
    run = run_on(surfaces, tmp_path)
    bench = FitExecutor(run)
    key = run.fit_key("comparer", QUICK, ("grid",))
    records = [bench.record(key, t, label="comparer", role="inner") for t in ("tile", "woven")]
    assert [r.status for r in records] == ["ok", "ok"]
    assert bench.fits.computed == [key.id]
    fresh = FitExecutor(run)
    assert fresh.record(key, "tile", label="comparer", role="inner") == records[0]
    scored_again, _ = fresh.score(key, "tile", label="comparer", role="inner")
    assert scored_again.image_scores == pytest.approx(records[0].image_scores, abs=1e-5)
    assert fresh.fits.computed == []


def test_a_method_that_learns_nothing_has_one_fit_for_all_sources(surfaces: Path, tmp_path: Path) -> None:
    run = run_on(surfaces, tmp_path)
    assert run.fit_key("patch_knn", {}, ("grid",)).id == run.fit_key("patch_knn", {}, ("tile",)).id
    assert run.fit_key("comparer", {}, ("grid",)).id != run.fit_key("comparer", {}, ("tile",)).id
    untrained = {**QUICK, "num_steps": 0}
    key = run.fit_key("comparer", untrained, ("grid",))
    assert key.sources == ()
    assert key.id == run.fit_key("comparer", untrained, ("tile", "woven")).id
    assert FitExecutor(run).record(key, "tile", label="comparer:untrained", role="inner").status == "ok"


@pytest.mark.parametrize("error", [TrainingError("the loss became nan"), RuntimeError("out of memory")])
def test_a_fit_that_fails_is_a_record_with_its_cause(
    surfaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(self: Any, sources: Sequence[SourceDomain], *, seed: int) -> None:
        raise error

    monkeypatch.setattr(METHODS["comparer"], "fit", fail)
    run = run_on(surfaces, tmp_path)
    key = run.fit_key("comparer", QUICK, ("grid",))
    record = FitExecutor(run).record(key, "tile", label="comparer", role="inner")
    assert record.status == "failed"
    assert record.error is not None
    assert str(error) in record.error
    assert FitExecutor(run).records.read(record.record_id) == record


def test_trouble_with_the_storage_is_not_taken_for_a_failed_fit(surfaces: Path, tmp_path: Path) -> None:
    run = run_on(surfaces, tmp_path)
    key = run.fit_key("comparer", QUICK, ("grid",))
    about = Path(run.fits_location) / key.id / "fit.json"
    about.parent.mkdir(parents=True)
    about.write_text('{"format_version": 99}')
    bench = FitExecutor(run)
    for attempt in (
        lambda: bench.record(key, "tile", label="comparer", role="inner"),
        lambda: bench.try_fit(key),
    ):
        with pytest.raises(
            RecordError, match="has format version 99, but this dgad reads up to 2: update dgad"
        ):
            attempt()
    assert bench.records.ids() == ()


def test_a_defect_of_the_code_is_not_taken_for_a_failed_fit(
    surfaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, sources: Sequence[SourceDomain], *, seed: int) -> None:
        raise TypeError("a typing error")

    monkeypatch.setattr(METHODS["comparer"], "fit", fail)
    run = run_on(surfaces, tmp_path)
    with pytest.raises(TypeError):
        FitExecutor(run).record(
            run.fit_key("comparer", QUICK, ("grid",)), "tile", label="comparer", role="inner"
        )


def test_the_code_version_names_the_release_and_the_code() -> None:
    release, _, code = compute_code_version().partition("+")
    assert release[0].isdigit()
    assert len(code) == 12


def test_another_study_beside_it_reads_fits_and_records(surfaces: Path, tmp_path: Path) -> None:
    first = run_on(surfaces, tmp_path)
    key = first.fit_key("comparer", QUICK, ("grid",))
    record = FitExecutor(first).record(key, "tile", label="comparer", role="inner")
    other = dataclasses.replace(
        first, folder=tmp_path / "y", study=dataclasses.replace(first.study, name="y")
    )
    bench = FitExecutor(other)
    assert bench.record(key, "tile", label="comparer", role="inner") == record
    assert bench.records.ids() == (record.record_id,), "its own folder is whole"
    bench.record(key, "woven", label="comparer", role="inner")
    assert bench.fits.computed == []
    about = bench.fits.read_description(key.id)
    assert about is not None
    assert about["study"] == "x"


def test_a_fit_on_halves_is_judged_by_images_that_it_never_saw(surfaces: Path, tmp_path: Path) -> None:
    run = run_on(surfaces, tmp_path)
    bench = FitExecutor(run)
    key = run.fit_key("comparer", QUICK, ("grid", "tile"), split="half")
    assert key.id != run.fit_key("comparer", QUICK, ("grid", "tile")).id
    seen: list[int] = []
    plain_fit = METHODS["comparer"].fit

    def fit(self: Any, sources: Sequence[SourceDomain], *, seed: int) -> None:
        seen.extend(len(s.labels) for s in sources)
        plain_fit(self, sources, seed=seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(METHODS["comparer"], "fit", fit)
        record = bench.record(key, "grid", label="comparer", role="inner")
    assert record.status == "ok", record.error
    assert seen == [6 + 4, 6 + 4]
    assert len(record.sample_ids) == 4
    judged = {s.id for s in split_halves(open_dataset(str(surfaces)).domain("grid"))[1].tests}
    assert set(record.sample_ids) == judged


class Broken:
    """A fit that goes wrong a number of times."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.left, self.batches = error, times, list[int]()
        self.plain_score = METHODS["comparer"].score

    def score(self) -> Any:
        def score(method: Any, queries: Any, enrolled: Any) -> Any:
            self.batches.append(method.context.scoring_batch)
            if self.left > 0:
                self.left -= 1
                raise self.error
            return self.plain_score(method, queries, enrolled)

        return score


def test_memory_that_runs_out_is_got_round_with_fewer_queries_at_once_and_recorded(
    surfaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_on(surfaces, tmp_path)
    key = run.fit_key("comparer", QUICK, ("grid",))
    whole = FitExecutor(run).record(key, "tile", label="comparer", role="inner")
    (Path(run.records_location) / f"{whole.record_id}.parquet").unlink()
    (Path(run.shared_records_location) / f"{whole.record_id}.parquet").unlink()
    broken = Broken(RuntimeError("DefaultCPUAllocator: can't allocate memory"), times=2)
    monkeypatch.setattr(METHODS["comparer"], "score", broken.score())
    record = FitExecutor(run).record(key, "tile", label="comparer", role="inner")
    assert record.status == "ok"
    assert broken.batches[:3] == [16, 8, 4]
    assert "memory ran out; tried again with 4 queries scored at once" in record.notes
    assert record.image_scores == pytest.approx(whole.image_scores, abs=1e-5)


def test_what_may_pass_is_tried_a_set_number_of_times_then_fails_with_its_traceback(
    surfaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(RuntimeError("the disk is full"), times=99)
    monkeypatch.setattr(METHODS["comparer"], "score", broken.score())
    run = run_on(surfaces, tmp_path)
    record = FitExecutor(run).record(
        run.fit_key("comparer", QUICK, ("grid",)), "tile", label="comparer", role="inner"
    )
    assert record.status == "failed"
    assert broken.batches == [16] * (1 + MAX_RETRIES)
    assert len(record.notes) == MAX_RETRIES
    assert record.log is not None
    assert "the disk is full" in (run.folder / record.log).read_text()
    assert "Traceback" in (run.folder / record.log).read_text()


def test_our_own_refusals_would_fail_again_and_are_not_tried_again(
    surfaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(TrainingError("the loss became nan"), times=99)
    monkeypatch.setattr(METHODS["comparer"], "score", broken.score())
    run = run_on(surfaces, tmp_path)
    FitExecutor(run).record(run.fit_key("comparer", QUICK, ("grid",)), "tile", label="comparer", role="inner")
    assert broken.batches == [16]


def test_a_failure_stays_until_it_is_to_be_tried_again(
    surfaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_on(surfaces, tmp_path)
    key = run.fit_key("comparer", QUICK, ("grid",))

    def fail(self: Any, sources: Sequence[SourceDomain], *, seed: int) -> None:
        raise TrainingError("the loss became nan")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(METHODS["comparer"], "fit", fail)
        assert FitExecutor(run).record(key, "tile", label="comparer", role="inner").status == "failed"
    assert FitExecutor(run).record(key, "tile", label="comparer", role="inner").status == "failed"
    later = dataclasses.replace(run, retry_failures_before="9999")
    assert FitExecutor(later).record(key, "tile", label="comparer", role="inner").status == "ok"
    assert FitExecutor(run).record(key, "tile", label="comparer", role="inner").status == "ok"
