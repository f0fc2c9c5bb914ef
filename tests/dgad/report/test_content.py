"""What a report shows beyond the leaderboard."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from dgad.evaluation.frechet import DomainDistances
from dgad.evaluation.metrics import f1_max
from dgad.report.content import _MAX_CURVES, content
from dgad.report.outputs import report_plots, report_tables
from tests.dgad.report.synthetic_run import DOMAINS, make_record, make_records, make_summary
from tests.dgad.report.test_paper import texture


def timed(records, ms):
    return [dataclasses.replace(r, ms_per_image=ms[r.label]) for r in records]


def with_oracle(records):
    """(summary, records) with a comparer that chose on its targets and looks far better."""
    peeking = [make_record("comparer", t, seed=5, quality=9.0) for t in DOMAINS]
    summary = make_summary(records)
    own = [c for c in summary.cells if c.method == "comparer" and c.target != "deploy"]
    cells = [
        dataclasses.replace(c, protocol="oracle", record_ids=(r.record_id,), trials=())
        for c, r in zip(own, peeking, strict=True)
    ]
    return dataclasses.replace(summary, cells=(*summary.cells, *cells)), [*records, *peeking]


def test_the_front_has_what_nothing_beats_in_both():
    ms = {"comparer": 50.0, "comparer:untrained": 60.0, "patch_knn": 20.0, "trivial": 1.0}
    records = timed(make_records(), ms)
    found = {t.label: t for t in content(make_summary(records), records).trade_offs}
    auroc = {label: t.image_auroc for label, t in found.items()}
    for label, own in found.items():
        beaten = any(
            ms[o] <= ms[label] and auroc[o] >= auroc[label] and (ms[o], auroc[o]) != (ms[label], auroc[label])
            for o in ms
        )
        assert own.is_on_front == (not beaten)
    assert not found["comparer:untrained"].is_on_front
    assert found["trivial"].is_on_front


def test_a_row_that_chose_on_its_targets_is_shown_in_tables_alone():
    summary, records = with_oracle(make_records())
    found = content(summary, records)
    assert found.tables["image_auroc"][0].label == "comparer [oracle]"
    assert found.best.label == "comparer"
    for labels in (
        {t.label for t in found.trade_offs},
        {d.label for d in found.distributions},
        {k.label for k in found.kinds},
        *({*curves} for curves in found.curves.values()),
    ):
        assert labels
        assert "comparer [oracle]" not in labels


def test_the_best_comparer_is_drawn_however_many_peers_are_ahead():
    peers = {f"patch_knn:{i}": 3.0 for i in range(_MAX_CURVES + 1)}
    records = make_records(quality={"comparer": 0.5, **peers})
    found = content(make_summary(records), records)
    assert found.best.label == "comparer"
    assert all("comparer" in drawn and len(drawn) == _MAX_CURVES for drawn in found.curves.values())
    assert {d.label for d in found.distributions} == {"comparer"}


def test_thresholds_are_those_of_the_test_images():
    records = make_records()
    for shown in content(make_summary(records), records).distributions:
        best, kept = shown.thresholds.values()
        flags = [s >= best for s in (*shown.normal, *shown.abnormal)]
        hits = sum(flags[len(shown.normal) :])
        f1 = 2 * hits / (sum(flags) + len(shown.abnormal))
        labels = [0] * len(shown.normal) + [1] * len(shown.abnormal)
        assert f1 == pytest.approx(f1_max(labels, [*shown.normal, *shown.abnormal]))
        assert sum(s <= kept for s in shown.normal) == np.ceil(0.95 * len(shown.normal))


def measured(rows):
    return DomainDistances(
        domains=DOMAINS, distances=rows, num_images=(9,) * 4, num_features=8, backbone="resnet18"
    )


def test_distances_stand_beside_the_best_row_with_a_rank_correlation():
    records = make_records()
    rows = ((0.0, 1.0, 2.0, 6.0), (1.0, 0.0, 3.0, 5.0), (2.0, 3.0, 0.0, 9.0), (6.0, 5.0, 9.0, 0.0))
    found = content(make_summary(records, distances=measured(rows)), records)
    assert [d.distance for d in found.distances] == [3.0, 3.0, 14 / 3, 20 / 3]
    aurocs = [found.best.by_target[d].value for d in DOMAINS]
    assert found.rank_correlation == stats.spearmanr([3, 3, 14 / 3, 20 / 3], aurocs).statistic
    same = tuple(tuple(float(i != j) for j in range(4)) for i in range(4))
    assert content(make_summary(records, distances=measured(same)), records).rank_correlation is None
    assert content(make_summary(records), records).distances == ()


def test_another_data_set_has_tables_of_its_own_and_moves_no_mean():
    records = make_records()
    alone = content(make_summary(records), records)
    there = [make_record(label, "01", seed=3) for label in ("comparer", "trivial")]
    summary = make_summary(records, extra_targets=("01",))
    cells = [
        dataclasses.replace(
            summary.cells[0], method=r.label, target="01", record_ids=(r.record_id,), trials=()
        )
        for r in there
    ]
    summary = dataclasses.replace(summary, cells=(*summary.cells, *cells))
    found = content(summary, [*records, *there])
    assert found.tables == alone.tables
    assert {r.label for r in found.extra_tables["image_auroc"]} == {"comparer", "trivial"}
    names = {t.name for t in report_tables(found)}
    assert {"leaderboard_image_auroc", "other_data_image_auroc", "other_data_aupro"} <= names


def test_the_paper_stands_beside_its_images_only():
    records = [texture(name) for name in ("carpet", "grid")]
    summary = make_summary(records)
    cells = [
        dataclasses.replace(summary.cells[0], target=r.target, record_ids=(r.record_id,)) for r in records
    ]
    summary = dataclasses.replace(summary, cells=tuple(cells))
    found = content(summary, records)
    (row,) = found.paper
    assert (row.name, set(row.own), row.printed["wood"]) == ("Ours", {"carpet", "grid"}, 0.962)
    (table,) = [t for t in report_tables(found) if t.name == "paper_table1"]
    own, theirs = table.rows
    assert own[:2] == ("comparer", "here")
    assert own[-1] is None  # three textures lack
    assert theirs[-1] == pytest.approx(0.9182)
    other = make_records()
    assert content(make_summary(other), other).why_no_paper.startswith("`grid` has 20 normal and 40")


def test_every_drawing_has_a_title_a_picture_and_colours_of_the_page():
    records = make_records()
    plots = report_plots(content(make_summary(records), records))
    assert len({p.name for p in plots}) == len(plots) == 3 * len(DOMAINS) + 1
    for plot in plots:
        assert plot.title
        assert plot.png.startswith(b"\x89PNG")
        assert "prefers-color-scheme:dark" in plot.page_svg
        assert "var(--ink)" in plot.page_svg
        assert "var(--" not in plot.svg
        assert "#010203" not in plot.svg + plot.page_svg


def test_nothing_scored_yet_is_empty_and_no_error():
    found = content(make_summary([], distances=None), [])
    assert found.best is None
    assert report_plots(found) == ()
    assert report_tables(found) == ()
