"""Two studies side by side: over the same images, or not at all."""

import dataclasses

import pytest

from dgad.report.compare import compare
from dgad.report.tables import outer_records
from tests.dgad.report.synthetic_run import DOMAINS, make_record, make_records, make_summary


def compared(records_a, records_b, **changes):
    a, b = make_summary(records_a), make_summary(records_b, **changes)
    return compare(a, outer_records(a, records_a), b, outer_records(b, records_b), names=("old", "new"))


def test_a_study_does_not_differ_from_itself():
    records = make_records()
    found = compared(records, records)
    assert [r.label for r in found.rows] == ["comparer", "patch_knn", "comparer:untrained", "trivial"]
    for row in found.rows:
        assert row.targets == DOMAINS
        assert (row.gap.value, row.gap.low, row.gap.high) == (0, 0, 0)
        assert row.first == row.second
    assert (found.settings, found.only, found.unpaired) == ((), ((), ()), ())
    assert found.same_data
    assert "differ by 0.000" in found.verdict


def test_a_gap_is_the_second_minus_the_first_on_the_same_images():
    before, after = make_records(), make_records(seeds=(1,), quality={"comparer": 4.0, "patch_knn": 1.8})
    found = compared(before, after, num_references="9", data_fingerprint="e" * 64)
    row = next(r for r in found.rows if r.label == "comparer")
    aurocs = [
        {r.target: r.metrics.image_auroc for r in rs if r.label == "comparer"} for rs in (before, after)
    ]
    means = [sum(a.values()) / len(a) for a in aurocs]
    assert (row.first, row.second) == pytest.approx(tuple(means))
    assert row.gap.value == pytest.approx(means[1] - means[0])
    assert row.gap.low < row.gap.value < row.gap.high
    assert row.gap.is_clear
    for target, gap in row.by_target.items():
        assert gap.value == pytest.approx(aurocs[1][target] - aurocs[0][target])
    assert found.only == (("comparer:untrained", "trivial"), ())
    assert ("num_references", "5", "9") in found.settings
    assert not found.same_data
    assert found.verdict.startswith("`comparer` of new is ahead of `comparer` of old by")
    assert "not over surfaces" in found.verdict


def test_targets_with_other_test_images_are_not_paired():
    before = make_records()
    fewer = [make_record(r.label, r.target, num_images=30) if r.target == "tile" else r for r in before]
    renamed = [
        dataclasses.replace(r, labels=r.labels[::-1]) if r.target == "grid" else r for r in fewer
    ]  # the same names, labelled otherwise
    found = compared(before, renamed)
    assert found.unpaired == ("grid", "tile")
    assert all(row.targets == ("leather", "woven") for row in found.rows)


def test_without_a_common_target_nothing_is_compared():
    before = [make_record("comparer", t) for t in DOMAINS[:2]]
    after = [make_record("comparer", t) for t in DOMAINS[2:]]
    found = compared(before, after)
    assert found.rows == ()
    assert "nothing can be compared" in found.verdict
