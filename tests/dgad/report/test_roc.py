"""ROC and precision-recall curves, against scikit-learn and plain loops."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from dgad.report.roc import curve
from tests.dgad.report.synthetic_run import make_record


def steps_area(x, y):
    """Under a step before each point."""
    return float(np.sum(np.diff(x) * y[1:]))


def with_ties(record):
    return dataclasses.replace(record, image_scores=tuple(np.round(record.image_scores, 1)))


def test_the_areas_that_are_printed_are_the_areas_that_are_drawn():
    record = with_ties(make_record("comparer", "tile"))
    drawn = curve([record])
    assert drawn.num_seeds == 1
    assert drawn.auroc == roc_auc_score(record.labels, record.image_scores)
    assert drawn.average_precision == average_precision_score(record.labels, record.image_scores)
    assert auc(drawn.fpr, drawn.tpr) == pytest.approx(drawn.auroc)
    assert steps_area(drawn.recall, drawn.precision) == pytest.approx(drawn.average_precision)


def test_every_point_is_what_a_threshold_gives():
    record = make_record("comparer", "tile", num_images=15)
    labels, scores = np.array(record.labels), np.array(record.image_scores)
    drawn = curve([record])
    points = {(0.0, 0.0)}
    precisions = {(0.0, 1.0)}
    for threshold in scores:
        flagged = scores >= threshold
        hits = (flagged & (labels == 1)).sum()
        points.add(((flagged & (labels == 0)).sum() / (labels == 0).sum(), hits / labels.sum()))
        precisions.add((hits / labels.sum(), hits / flagged.sum()))
    assert set(zip(drawn.fpr.tolist(), drawn.tpr.tolist(), strict=True)) <= points
    assert set(zip(drawn.recall.tolist(), drawn.precision.tolist(), strict=True)) <= precisions


def test_several_seeds_are_averaged_at_equal_rates():
    records = [make_record("comparer", "tile", seed=s) for s in range(3)]
    alone = [curve([r]) for r in records]
    drawn = curve(records)
    assert drawn.num_seeds == 3
    assert drawn.auroc == pytest.approx(np.mean([c.auroc for c in alone]))
    for rate, precision in zip(drawn.recall, drawn.precision, strict=True):
        # The lowest recall of each that is no lower; never a line between two thresholds.
        values = [next(p for r, p in zip(c.recall, c.precision, strict=True) if r >= rate) for c in alone]
        assert precision == pytest.approx(np.mean(values))
    assert auc(drawn.fpr, drawn.tpr) == pytest.approx(drawn.auroc, abs=0.01)


def test_without_both_classes_there_is_no_curve():
    failed = make_record("comparer", "tile", status="failed")
    good = make_record("comparer", "tile", seed=1)
    one_class = dataclasses.replace(good, labels=(0,) * len(good.labels))
    assert curve([failed, one_class]) is None
    assert curve([failed, one_class, good]).num_seeds == 1
