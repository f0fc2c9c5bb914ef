"""Fitting and scoring in one process: records, failures, and one fit for several targets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dgad.episodes import SourceDomain
from dgad.errors import TrainingError
from dgad.methods import METHODS
from dgad.settings import to_dict
from tests.tune.helpers import run_on
from tune.workbench import Workbench, code_version

QUICK = {
    **to_dict(METHODS["comparer"].presets["robust"]),
    "backbone_mode": "frozen",
    "num_steps": 2,
    "num_reference_patches": 32,
    "num_reference_patches_scoring": 64,
}


def test_one_fit_serves_two_targets_and_a_record_is_never_computed_again(
    surfaces: Path, tmp_path: Path
) -> None:
    run = run_on(surfaces, tmp_path)
    bench = Workbench(run)
    key = run.fit_key("comparer", QUICK, ("grid",))
    records = [bench.record(key, t, label="comparer", role="inner") for t in ("tile", "woven")]
    assert [r.status for r in records] == ["ok", "ok"]
    assert bench.fits.computed == [key.id]
    fresh = Workbench(run)
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
    assert Workbench(run).record(key, "tile", label="comparer:untrained", role="inner").status == "ok"


@pytest.mark.parametrize("error", [TrainingError("the loss became nan"), RuntimeError("out of memory")])
def test_a_fit_that_fails_is_a_record_with_its_cause(
    surfaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(self: Any, sources: Sequence[SourceDomain], *, seed: int) -> None:
        raise error

    monkeypatch.setattr(METHODS["comparer"], "fit", fail)
    run = run_on(surfaces, tmp_path)
    key = run.fit_key("comparer", QUICK, ("grid",))
    record = Workbench(run).record(key, "tile", label="comparer", role="inner")
    assert record.status == "failed"
    assert record.error is not None
    assert str(error) in record.error
    assert Workbench(run).records.read(record.record_id) == record


def test_a_defect_of_the_code_is_not_taken_for_a_failed_fit(
    surfaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, sources: Sequence[SourceDomain], *, seed: int) -> None:
        raise TypeError("a typing error")

    monkeypatch.setattr(METHODS["comparer"], "fit", fail)
    run = run_on(surfaces, tmp_path)
    with pytest.raises(TypeError):
        Workbench(run).record(
            run.fit_key("comparer", QUICK, ("grid",)), "tile", label="comparer", role="inner"
        )


def test_the_code_version_names_the_release_and_the_code() -> None:
    release, _, code = code_version().partition("+")
    assert release[0].isdigit()
    assert len(code) == 12
