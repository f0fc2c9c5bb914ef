"""The leaderboard: means, intervals, protocols, and what the verdict says of them."""

import dataclasses

import numpy as np
import pytest

from dgad.evaluation.metrics import Metrics, paired_bootstrap_difference
from dgad.records import RecordStore
from dgad.report.tables import (
    best_row,
    difference,
    extra_records,
    leaderboard,
    outer_records,
    read_named_records,
)
from dgad.report.verdict import verdict
from tests.dgad.report.synthetic_run import DOMAINS, make_record, make_records, make_summary


def row_of(rows, label):
    (row,) = [r for r in rows if r.label == label]
    return row


def test_one_seed_shows_its_bootstrap_interval():
    records = make_records()
    row = row_of(leaderboard(records), "comparer")
    for record in (r for r in records if r.label == "comparer"):
        shown = row.by_target[record.target]
        metrics = record.metrics
        assert (shown.value, shown.low, shown.high) == (
            metrics.image_auroc,
            metrics.image_auroc_low,
            metrics.image_auroc_high,
        )
    assert row.mean.value == pytest.approx(np.mean([e.value for e in row.by_target.values()]))
    assert row.mean.low < row.mean.value < row.mean.high
    narrowest = min(e.high - e.low for e in row.by_target.values())
    assert row.mean.high - row.mean.low < 1.5 * narrowest  # four surfaces together are surer than one
    assert row.ms_per_image == 12.345


def test_several_seeds_show_mean_and_standard_error():
    records = make_records(seeds=(0, 1, 2))
    shown = row_of(leaderboard(records), "patch_knn").by_target["tile"]
    values = [r.metrics.image_auroc for r in records if r.label == "patch_knn" and r.target == "tile"]
    assert shown.num_seeds == 3
    assert shown.value == pytest.approx(np.mean(values))
    assert shown.high - shown.value == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))


def test_rows_come_best_first_and_incomplete_last():
    records = make_records()
    assert [r.label for r in leaderboard(records)][-1] == "trivial"
    incomplete = [r for r in records if (r.label, r.target) != ("comparer", "tile")]
    rows = leaderboard(incomplete)
    assert rows[-1].label == "comparer"
    assert rows[-1].num_missing == 1
    assert set(rows[-1].by_target) == set(DOMAINS) - {"tile"}


def test_failed_records_and_missing_metrics_leave_gaps():
    failed = make_record("comparer", "grid", status="failed")
    image_only = make_record("trivial", "grid", pixels=False)
    rows = leaderboard([failed, image_only])
    assert row_of(rows, "comparer").mean is None
    assert row_of(rows, "trivial").mean.value == image_only.metrics.image_auroc
    assert row_of(leaderboard([failed, image_only], "aupro"), "trivial").by_target == {}
    assert leaderboard([]) == ()


def test_the_difference_of_one_target_is_the_paired_bootstrap():
    records = make_records()
    pair = [r for r in records if r.target == "tile" and r.label in ("comparer", "trivial")]
    gap = difference(pair, "comparer", "trivial")
    a, b = (row_of_scores(pair, label) for label in ("comparer", "trivial"))
    expected = paired_bootstrap_difference(pair[0].labels, a, b, seed=99, num_draws=4000)
    assert gap.value == pytest.approx(expected[0])
    assert (gap.low, gap.high) == pytest.approx(expected[1:], abs=0.03)
    assert difference(records, "comparer", "nobody") is None


def row_of_scores(records, label):
    (record,) = [r for r in records if r.label == label]
    return record.image_scores


def test_the_order_of_images_does_not_change_a_difference():
    records = make_records()
    turned = []
    for record in records:
        names = ("sample_ids", "labels", "kinds", "image_scores")
        turned.append(dataclasses.replace(record, **{n: getattr(record, n)[::-1] for n in names}))
    mixed = [t if t.label == "comparer" else r for r, t in zip(records, turned, strict=True)]
    assert difference(mixed, "comparer", "patch_knn") == difference(records, "comparer", "patch_knn")


def test_results_follow_the_cells_and_not_a_records_first_use():
    records = [dataclasses.replace(r, role="inner", label="first use") for r in make_records()]
    summary = make_summary(make_records())
    found = outer_records(summary, [*records, make_record("stray", "tile")])
    assert sorted((r.label, r.target) for r in found) == sorted((r.label, r.target) for r in make_records())
    lost = tuple(dataclasses.replace(c, record_ids=()) for c in summary.cells)
    assert outer_records(dataclasses.replace(summary, cells=lost), make_records()) == ()
    other = dataclasses.replace(summary, extra_targets=("tile",))
    assert {r.target for r in outer_records(other, records)} == set(DOMAINS) - {"tile"}
    assert {r.target for r in extra_records(other, records)} == {"tile"}


def test_results_are_read_by_name(tmp_path):
    records = make_records()
    store = RecordStore(tmp_path)
    for record in (*records, make_record("stray", "tile")):
        store.write(record)
    (tmp_path / f"{'0' * 32}.parquet").write_bytes(b"damaged, and no result")
    summary = make_summary(records)
    found = read_named_records(summary, store)
    assert {r.record_id for r in found} == {r.record_id for r in records}
    assert outer_records(summary, found) == outer_records(summary, records)


def test_an_oracle_row_carries_its_name_and_is_never_the_result():
    records = make_records()
    oracle = [
        make_record("comparer", t, seed=5, quality=9.0) for t in DOMAINS
    ]  # another fit than the nested one
    summary = make_summary(records)
    cells = [c for c in summary.cells if c.method == "comparer" and c.target != "deploy"]
    peeking = tuple(
        dataclasses.replace(c, protocol="oracle", record_ids=(r.record_id,))
        for c, r in zip(cells, oracle, strict=True)
    )
    summary = dataclasses.replace(summary, cells=(*summary.cells, *peeking))
    found = outer_records(summary, [*records, *oracle])
    rows = leaderboard(found)
    assert rows[0].label == "comparer [oracle]"
    assert best_row(rows).label == "comparer"
    assert best_row([r for r in rows if "comparer" not in r.label]).label == "patch_knn"
    text = " ".join(verdict(rows, found))
    assert text.startswith(
        f"`comparer` reaches a mean image AUROC of {row_of(rows, 'comparer').mean.value:.3f}"
    )
    gap = row_of(rows, "comparer [oracle]").mean.value - row_of(rows, "comparer").mean.value
    assert f"would show {gap:+.3f}" in text
    assert "`comparer [oracle]` is the one to use" not in text
    all_oracle = make_summary(records, protocol="oracle")
    all_oracle = dataclasses.replace(
        all_oracle, cells=tuple(dataclasses.replace(c, protocol="oracle") for c in all_oracle.cells)
    )
    assert all("[oracle]" in r.label for r in outer_records(all_oracle, records))


def test_the_verdict_says_plainly_that_a_peer_wins():
    records = make_records(quality={"comparer": 0.5, "patch_knn": 3.0, "trivial": 0.2})
    text = " ".join(verdict(leaderboard(records), records))
    assert "a peer does better: `patch_knn` by " in text
    assert "`patch_knn` is the one to use, not `comparer`" in text
    assert "clear of chance" in text
    assert "ahead of `trivial`" in text
    assert "it is not always first" in text


def test_a_lead_within_chance_is_no_reason_to_change():
    records = make_records(quality={"comparer": 1.0, "patch_knn": 1.05, "trivial": 0.2})
    gap = difference(records, "patch_knn", "comparer")
    assert gap is not None
    assert gap.value > 0.0005
    assert not gap.is_clear
    text = " ".join(verdict(leaderboard(records), records))
    assert "a peer does better: `patch_knn` by " in text
    assert "do not speak against `comparer`" in text
    assert "is the one to use" not in text


def test_equal_rows_are_level():
    records = make_records()
    twins = [dataclasses.replace(r, label="comparer:twin") for r in records if r.label == "comparer"]
    text = " ".join(verdict(leaderboard([*records, *twins]), [*records, *twins]))
    assert "It is level with `comparer:twin`." in text
    assert "by 0.000" not in text


def test_the_verdict_says_what_it_cannot_know():
    records = make_records()
    text = " ".join(verdict(leaderboard(records), records))
    assert "4 domains are too few to test" in text
    assert "smallest p is 0.125" in text
    assert "one seed" in text
    assert "weakest surface is woven" in text
    assert "peer" not in text
    many = [make_record("comparer", f"surface{i}", seed=s) for i in range(6) for s in (0, 1)]
    text = " ".join(verdict(leaderboard(many), many))
    assert "No test over the 6 domains was made" in text
    assert "2 seeds" in text


def test_the_verdict_without_results():
    failed = [make_record("comparer", "grid", status="failed")]
    assert verdict(leaderboard(failed), failed)[0].startswith("No method was scored")
    one_class = make_record("comparer", "grid")
    one_class = dataclasses.replace(one_class, metrics=Metrics())
    assert verdict(leaderboard([one_class]), [one_class])[0].startswith("No method was scored")
