"""The dry run's count of fits, against counting by hand."""

import dataclasses
import json
from pathlib import Path

import pytest

from dgad.command_line import PlainConsole
from tune.launcher.dry_run import plan_study, print_dry_run
from tune.launcher.estimate import Cost, FitCount, count_fits, estimate_seconds
from tune.launcher.request import Request
from tune.run_folder.location import Runs
from tune.search.workers import Workers
from tune.spaces.initial_design import make_initial_design
from tune.study.cells import make_cells
from tune.study.settings import Study

FIVE = ("a", "b", "c", "d", "e")


def test_a_common_configuration_takes_ten_pair_fits_and_five_for_deploy_instead_of_twenty_five() -> None:
    study = Study(name="x", trials=1)
    count = count_fits(study, make_cells(study, FIVE, searched=["comparer"]))
    beside = 5 + 1 + 1  # untrained on every fold; patch_knn and trivial learn nothing
    winners = 5 + 1
    assert count.fits == 10 + 5 + winners + beside
    assert count.fits_alone == 5 * 4 + 5 + winners + 15
    assert count.scorings == 5 * 4 + 5 + 5 + 15


def test_what_a_cell_s_own_sampler_proposes_is_counted_as_not_shared() -> None:
    study = Study(name="x", trials=9)
    cells = make_cells(study, FIVE, searched=["comparer"])
    design = make_initial_design("comparer", study.space_settings, seed=0, num_trials=9)
    untrained = sum(point.settings["num_steps"] == 0 for point in design)
    assert untrained > 0
    count = count_fits(study, cells)
    assert count.fits == (len(design) - untrained) * 15 + untrained + (9 - len(design)) * 25 + 6 + 7


def test_a_fixed_method_is_only_refitted_and_seeds_multiply_refits_alone() -> None:
    study = Study(name="x", methods=("comparer:paper",), seeds=3, folds=("a",))
    count = count_fits(study, make_cells(study, FIVE, searched=[]))
    assert count.fits == 3 + 1 + 3 * 3
    assert count.steps == 4 * 60


def test_winners_are_scored_once_more_for_every_number_of_references_and_extra_target() -> None:
    study = Study(name="x", methods=("comparer:paper",), seeds=3, folds=("a",), reference_counts=("1", "2"))
    cells = make_cells(study, FIVE, searched=[])
    beside = 3
    assert count_fits(study, cells).scorings == 3 * 3 * (1 + beside)
    extra = dataclasses.replace(study, extra_targets="elsewhere")
    count = count_fits(extra, make_cells(extra, FIVE, searched=[]), num_extra_targets=2)
    assert count.scorings == 3 * 3 * (1 + beside) * 3
    assert count.fits == 3 + 3 + 3 * 3 + 2 * 3  # of each seed on all domains; untrained on each extra target


def test_the_estimate_shares_the_work_between_workers() -> None:
    count = FitCount(fits_alone=10, fits=10, scorings=20, steps=100)
    cost = Cost(step_s=0.5, fit_overhead_s=1.0, image_s=0.1, scoring_overhead_s=0.5)
    two = Workers(count=2, threads_each=1, gpus_each=0.0, cache_bytes_each=1)
    alone = Workers(count=1, threads_each=2, gpus_each=0.0, cache_bytes_each=1)
    work_s = 10 * 1.0 + 100 * 0.5 + 20 * (0.5 + 30 * 0.1)
    start_s = 2 * estimate_seconds(count, cost, 30, two) - estimate_seconds(count, cost, 30, alone)
    assert estimate_seconds(count, cost, 30, alone) - start_s == work_s


def test_a_dry_run_tells_time_and_disk_for_every_scale(
    surfaces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"data": str(surfaces), "methods": ("patch_knn",), "weights": "none", "num_references": "3"}
    request = Request(
        given={**given, "trials": 2, "folds": ("grid",), "search_scale": ("fit 32", "fit 64")},
        study_file=None,
        runs=Runs(location=str(tmp_path)),
        device="cpu",
        command="x",
    )
    plan = plan_study(request)
    print_dry_run(plan, PlainConsole(), as_json=True)
    found = json.loads(capsys.readouterr().out)
    small, large = found["features"]
    assert (small["choice"], large["choice"]) == ("scale fit 32", "scale fit 64")
    num_images = 3 * (6 + 4 + 4)
    assert (small["images_bytes"], large["images_bytes"]) == (num_images * 3 * 32**2, num_images * 3 * 64**2)
    assert 0 < small["features_bytes"] * 4 == large["features_bytes"]
    mean = (small["scoring_ms_per_image"] + large["scoring_ms_per_image"]) / 2
    assert abs(found["scoring_ms_per_image"] - mean) < 1e-9
    assert found["features_bytes_at_most"] == 0, "nothing is kept on disk"
    cached = dataclasses.replace(plan, cache_bytes=small["features_bytes"] + 1)
    print_dry_run(cached, PlainConsole(width=200), as_json=False)
    told = capsys.readouterr().out
    assert "scale fit 64" in told
    assert "at most 0.00 GiB (--cache-gib)" in told
    assert list(tmp_path.iterdir()) == []
