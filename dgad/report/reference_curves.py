"""How a winner's figures move with the number of references (the paper's Figures 3 and 4)."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from dgad.records import Record
from dgad.report.summary import StudySummary

_METRICS = ("image_auroc", "pixel_auroc")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReferencePoint:
    """One row of the leaderboard with one number of references: mean over targets, then over seeds."""

    label: str
    asked: str
    """A count, `P%` of a target's normals, or `all`."""
    num_references: float
    """Mean over targets: a percentage is another number on each."""
    mean: float
    standard_error: float | None
    """Over seeds, which draw references and weights; None for a single one."""
    num_seeds: int


def reference_curves(
    summary: StudySummary, records: Sequence[Record]
) -> dict[str, tuple[ReferencePoint, ...]]:
    """Points by metric, of the sealed winners' own fits; only where several numbers were scored.

    A seed counts towards a point only where it has every target that the row has with the study's own
    number, so that the points of one line are means over the same surfaces.
    """
    by_id = {r.record_id: r for r in records if r.status == "ok"}
    scored: dict[tuple[str, str], list[Record]] = {}
    for cell in summary.cells:
        if cell.target in summary.extra_targets:
            continue
        for asked, ids in {summary.num_references: cell.record_ids, **cell.more_record_ids}.items():
            scored.setdefault((cell.label, asked), []).extend(by_id[i] for i in ids if i in by_id)
    found = {}
    for metric in _METRICS:
        points = tuple(_points(scored, summary.num_references, metric))
        if len({p.asked for p in points}) > 1:
            order = list(dict.fromkeys(p.label for p in points))
            found[metric] = tuple(sorted(points, key=lambda p: (order.index(p.label), p.num_references)))
    return found


def _points(
    scored: Mapping[tuple[str, str], Sequence[Record]], own: str, metric: str
) -> Iterator[ReferencePoint]:
    targets = {
        label: {r.target for r in records if getattr(r.metrics, metric) is not None}
        for (label, asked), records in scored.items()
        if asked == own
    }
    for (label, asked), records in scored.items():
        by_seed: dict[int, dict[str, float]] = {}
        for record in records:
            value = getattr(record.metrics, metric)
            if value is not None:
                by_seed.setdefault(record.fit.seed, {})[record.target] = value
        means = [
            float(np.mean(list(v.values()))) for v in by_seed.values() if v and v.keys() == targets[label]
        ]
        if means:
            error = float(np.std(means, ddof=1)) / math.sqrt(len(means)) if len(means) > 1 else None
            yield ReferencePoint(
                label=label,
                asked=asked,
                num_references=float(np.mean([r.num_references for r in records])),
                mean=float(np.mean(means)),
                standard_error=error,
                num_seeds=len(means),
            )
