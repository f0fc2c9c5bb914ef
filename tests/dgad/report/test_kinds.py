"""Kinds of defect, against plain loops."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from dgad.report.kinds import kind_rows
from tests.dgad.report.synthetic_run import make_record


def with_kinds(record):
    kinds = tuple("good" if not y else ("hole" if i % 3 else "cut") for i, y in enumerate(record.labels))
    return dataclasses.replace(record, kinds=kinds)


def test_each_kind_is_judged_against_all_normal_images():
    records = [with_kinds(make_record("comparer", "tile", seed=s, num_images=30)) for s in (0, 1)]
    rows = {r.kind: r for r in kind_rows(records)}
    assert set(rows) == {"cut", "hole"}
    for kind, row in rows.items():
        aurocs, found = [], []
        for record in records:
            pairs = list(zip(record.kinds, record.labels, record.image_scores, strict=True))
            kept = [(label, score) for k, label, score in pairs if k in ("good", kind)]
            aurocs.append(roc_auc_score(*zip(*kept, strict=True)))
            labels, scores = np.array(record.labels), np.array(record.image_scores)
            best = max(sorted(scores), key=lambda t: f1_score(labels, scores >= t))
            own = [score for k, _, score in pairs if k == kind]
            found.append(np.mean([score >= best for score in own]))
            assert row.num_images == len(own)
        assert row.image_auroc == pytest.approx(np.mean(aurocs))
        assert row.found == pytest.approx(np.mean(found))


def test_rows_come_by_target_kind_and_label_and_failures_are_left_out():
    records = [
        *(with_kinds(make_record(label, t)) for label in ("comparer", "trivial") for t in ("tile", "grid")),
        make_record("comparer", "woven", status="failed"),
    ]
    assert [(r.target, r.kind, r.label) for r in kind_rows(records)] == [
        (target, kind, label)
        for target in ("grid", "tile")
        for kind in ("cut", "hole")
        for label in ("comparer", "trivial")
    ]


def test_a_kind_without_normal_images_beside_it_has_no_row():
    record = make_record("comparer", "tile")
    abnormal = dataclasses.replace(record, labels=(1,) * len(record.labels))
    assert kind_rows([abnormal]) == ()
