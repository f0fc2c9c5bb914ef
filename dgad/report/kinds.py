"""Which kinds of defect a method finds: one row a kind of a target, its images against the normal ones."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from dgad.evaluation.metrics import f1_threshold, image_auroc
from dgad.records import Record


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class KindRow:
    """One method on one kind of defect."""

    label: str
    target: str
    kind: str
    num_images: int
    image_auroc: float
    """Of these images against all normal test images; mean over seeds."""
    found: float
    """Share of them above the threshold of the best F1 over all kinds, which labels were needed for."""


def kind_rows(records: Sequence[Record]) -> tuple[KindRow, ...]:
    """By target, kind and label, as records come; a kind without normal images beside it is left out."""
    rows = []
    for target in sorted({r.target for r in records}):
        own = [r for r in records if r.target == target and r.status == "ok"]
        kinds = sorted({k for r in own for k, label in zip(r.kinds, r.labels, strict=True) if label == 1})
        for kind in kinds:
            for label in dict.fromkeys(r.label for r in own):
                row = _row([r for r in own if r.label == label], label, target, kind)
                if row is not None:
                    rows.append(row)
    return tuple(rows)


def _row(records: Sequence[Record], label: str, target: str, kind: str) -> KindRow | None:
    aurocs, found, count = [], [], 0
    for record in records:
        labels, scores = np.array(record.labels), np.array(record.image_scores)
        is_kind = (np.array(record.kinds) == kind) & (labels == 1)
        kept = is_kind | (labels == 0)
        value = image_auroc(labels[kept], scores[kept])
        threshold = f1_threshold(labels, scores)
        if value is None or threshold is None:
            continue
        aurocs.append(value)
        found.append(float((scores[is_kind] >= threshold).mean()))
        count = int(is_kind.sum())
    if not aurocs:
        return None
    return KindRow(
        label=label,
        target=target,
        kind=kind,
        num_images=count,
        image_auroc=float(np.mean(aurocs)),
        found=float(np.mean(found)),
    )
