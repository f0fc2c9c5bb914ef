"""ROC and precision-recall curves of one method on one target, from the scores its records keep."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dgad.records import Record

Floats = NDArray[np.float64]
_GRID = np.linspace(0.0, 1.0, 201)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Both curves; with several seeds the mean of theirs over a grid of 201 rates."""

    fpr: Floats
    tpr: Floats
    """Straight between points, as the area is computed: images of one score come in any order."""
    recall: Floats
    precision: Floats
    """A step before each point, as average precision is computed: straight lines would promise too much."""
    auroc: float
    average_precision: float
    num_seeds: int


def curve(records: Sequence[Record]) -> Curve | None:
    """Of the records of one label on one target, one a seed; None without images of both classes."""
    from sklearn.metrics import (  # takes seconds to import
        average_precision_score,
        precision_recall_curve,
        roc_auc_score,
        roc_curve,
    )

    found = []
    for record in records:
        labels, scores = np.array(record.labels), np.array(record.image_scores)
        if record.status != "ok" or labels.all() or not labels.any():
            continue
        # Points that no drawing would show are dropped: most of a page of large test sets.
        fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=True)
        precision, recall, _ = precision_recall_curve(labels, scores, drop_intermediate=True)
        found.append(
            (
                (fpr, tpr),
                (recall[::-1], precision[::-1]),
                float(roc_auc_score(labels, scores)),
                float(average_precision_score(labels, scores)),
            )
        )
    if not found:
        return None
    roc = found[0][0] if len(found) == 1 else _mean([f[0] for f in found])
    pr = found[0][1] if len(found) == 1 else _mean_steps([f[1] for f in found])
    return Curve(
        fpr=roc[0],
        tpr=roc[1],
        recall=pr[0],
        precision=pr[1],
        auroc=float(np.mean([f[2] for f in found])),
        average_precision=float(np.mean([f[3] for f in found])),
        num_seeds=len(found),
    )


def _mean(lines: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Vertical mean over the grid; where a line rises at a rate, its upper end counts."""
    return _GRID, np.mean([np.interp(_GRID, x, y) for x, y in lines], axis=0)


def _mean_steps(lines: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """The same of steps: to reach a recall, the threshold of the next one that exists has to be taken."""
    return _GRID, np.mean([y[np.searchsorted(x, _GRID, side="left")] for x, y in lines], axis=0)
