"""Reference curves: of the winners' fits alone, and each point a mean over the same surfaces."""

import dataclasses

import numpy as np
import pytest

from dgad.report.reference_curves import reference_curves
from tests.dgad.report.synthetic_run import DOMAINS, make_record, make_records, make_summary

SEEDS = (0, 1)
COUNTS = {"10%": dict(zip(DOMAINS, (2, 3, 2, 3), strict=True)), "all": dict.fromkeys(DOMAINS, 20)}


def counted(record, asked):
    return dataclasses.replace(record, num_references=COUNTS[asked][record.target])


@pytest.fixture
def study():
    """(summary, records): every winner with two further numbers of references."""
    records = make_records(seeds=SEEDS, quality={"comparer": 2.0, "trivial": 0.5})
    more = {asked: [counted(r, asked) for r in records] for asked in COUNTS}
    summary = make_summary(records, seeds=SEEDS)
    cells = [
        dataclasses.replace(
            cell,
            more_record_ids={
                asked: tuple(r.record_id for r in rs if (r.label, r.target) == (cell.method, cell.target))
                for asked, rs in more.items()
            },
        )
        for cell in summary.cells
    ]
    return dataclasses.replace(summary, cells=tuple(cells)), [*records, *more["10%"], *more["all"]]


def test_a_point_is_the_mean_over_surfaces_and_then_over_seeds(study):
    summary, records = study
    for metric, points in reference_curves(summary, records).items():
        assert [(p.label, p.asked) for p in points] == [
            (label, asked) for label in ("comparer", "trivial") for asked in ("10%", "5", "all")
        ]
        own = [r for r in records[: len(SEEDS) * 8] if r.label == "comparer"]
        by_seed = [np.mean([getattr(r.metrics, metric) for r in own if r.fit.seed == seed]) for seed in SEEDS]
        first = points[0]
        assert first.mean == pytest.approx(np.mean(by_seed))
        assert first.standard_error == pytest.approx(np.std(by_seed, ddof=1) / np.sqrt(2))
        assert (first.num_references, first.num_seeds) == (2.5, 2)


def test_other_fits_on_the_same_surface_are_not_taken(study):
    summary, records = study
    stray = [counted(make_record("comparer", t, seed=7, quality=9.0), "all") for t in DOMAINS]
    assert reference_curves(summary, [*records, *stray]) == reference_curves(summary, records)


def test_a_seed_that_lacks_a_surface_does_not_count(study):
    summary, records = study
    one = ("comparer", "tile", 1, 20)
    gone = next(r for r in records if (r.label, r.target, r.fit.seed, r.num_references) == one)
    points = reference_curves(summary, [r for r in records if r is not gone])["image_auroc"]
    (last,) = [p for p in points if (p.label, p.asked) == ("comparer", "all")]
    assert (last.num_seeds, last.standard_error) == (1, None)


def test_one_number_of_references_is_no_curve():
    records = make_records()
    assert reference_curves(make_summary(records), records) == {}
