"""What a report shows beyond the leaderboard, computed from the summary and the records alone."""

import dataclasses
import math
from collections.abc import Iterator, Sequence

from scipy import stats

from dgad.evaluation.metrics import f1_threshold
from dgad.records import Record
from dgad.report.kinds import KindRow, kind_rows
from dgad.report.paper import explain_no_comparison, find_printed_figures
from dgad.report.reference_curves import ReferencePoint, reference_curves
from dgad.report.roc import Curve, curve
from dgad.report.summary import StudySummary
from dgad.report.tables import (
    METRIC_TITLES,
    LeaderboardRow,
    best_row,
    extra_records,
    is_oracle,
    leaderboard,
    outer_records,
)

_MAX_CURVES = 6
"""Lines of one drawing; more could not be told apart."""
_KEPT_NORMALS = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TradeOff:
    """One method's mean AUROC and its time per image."""

    label: str
    ms_per_image: float
    image_auroc: float
    is_on_front: bool
    """No other method is at least as good in both and better in one."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DistanceRow:
    """How far a target lies from the others, beside what the best comparer reached there."""

    target: str
    distance: float
    image_auroc: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PaperRow:
    """One method beside the paper's printed figures."""

    label: str
    own: dict[str, float]
    """Image AUROC by texture."""
    name: str
    """The paper's."""
    printed: dict[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """Scores of one target by the best row, and thresholds by name."""

    target: str
    label: str
    normal: tuple[float, ...]
    abnormal: tuple[float, ...]
    thresholds: dict[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """All of it; parts that the records do not give are empty."""

    summary: StudySummary
    records: tuple[Record, ...]
    """Labelled outer results."""
    best: LeaderboardRow | None
    """The best trained comparer, else the best row, by image AUROC."""
    tables: dict[str, tuple[LeaderboardRow, ...]]
    """By metric; those that have a figure."""
    extra: tuple[Record, ...]
    """Labelled results on the other data set."""
    extra_tables: dict[str, tuple[LeaderboardRow, ...]]
    reference_curves: dict[str, tuple[ReferencePoint, ...]]
    """By metric; only where several numbers of references were scored."""
    kinds: tuple[KindRow, ...]
    trade_offs: tuple[TradeOff, ...]
    distances: tuple[DistanceRow, ...]
    rank_correlation: float | None
    """Spearman's, of distance and AUROC over targets; None for fewer than three, or where one is constant."""
    paper: tuple[PaperRow, ...]
    why_no_paper: str | None
    """Where targets are called like MVTec's textures and hold other images."""
    curves: dict[str, dict[str, Curve]]
    """ROC and PR by target and label, of the best rows."""
    distributions: tuple[Distribution, ...]

    @property
    def num_stopped(self) -> int:
        """Trials that were given up early."""
        return sum(t.status == "stopped" for c in self.summary.cells for t in c.trials)


def content(summary: StudySummary, named: Sequence[Record]) -> Content:
    """Compute it once for the page and the files."""
    records, extra = outer_records(summary, named), extra_records(summary, named)
    rows = leaderboard(records)
    best = best_row(rows)
    others = [r.label for r in rows if r.mean is not None and r is not best and not is_oracle(r.label)]
    shown = [*([best.label] if best else []), *others][:_MAX_CURVES]
    distances = tuple(_distances(summary, best))
    reason = explain_no_comparison(records)
    return Content(
        summary=summary,
        records=records,
        best=best,
        tables=_by_metric(records),
        extra=extra,
        extra_tables=_by_metric(extra),
        reference_curves=reference_curves(summary, named),
        kinds=kind_rows([r for r in records if r.label in shown]),
        trade_offs=tuple(_trade_offs(rows)),
        distances=distances,
        rank_correlation=_rank_correlation(distances),
        paper=tuple(_paper(rows)) if reason is None else (),
        why_no_paper=reason or None,
        curves=_curves(records, shown),
        distributions=tuple(_distributions(records, best)),
    )


def _by_metric(records: Sequence[Record]) -> dict[str, tuple[LeaderboardRow, ...]]:
    tables = {metric: leaderboard(records, metric) for metric in METRIC_TITLES}
    return {m: rows for m, rows in tables.items() if any(row.by_target for row in rows)}


def _trade_offs(rows: Sequence[LeaderboardRow]) -> Iterator[TradeOff]:
    """Of rows that have every target, and did not choose on it."""
    known = [
        (r.label, r.ms_per_image, r.mean.value)
        for r in rows
        if r.mean is not None and r.ms_per_image is not None and not r.num_missing and not is_oracle(r.label)
    ]
    for label, ms, auroc in known:
        beaten = any(m <= ms and a >= auroc and (m, a) != (ms, auroc) for _, m, a in known)
        yield TradeOff(label=label, ms_per_image=ms, image_auroc=auroc, is_on_front=not beaten)


def _distances(summary: StudySummary, best: LeaderboardRow | None) -> Iterator[DistanceRow]:
    measured = summary.distances
    if measured is None or best is None:
        return
    for target in measured.domains:
        if target in best.by_target:
            yield DistanceRow(
                target=target,
                distance=measured.mean_to_others(target),
                image_auroc=best.by_target[target].value,
            )


def _rank_correlation(rows: Sequence[DistanceRow]) -> float | None:
    distances, aurocs = [r.distance for r in rows], [r.image_auroc for r in rows]
    if len(rows) < 3 or len(set(distances)) == 1 or len(set(aurocs)) == 1:
        return None
    return float(stats.spearmanr(distances, aurocs).statistic)


def _paper(rows: Sequence[LeaderboardRow]) -> Iterator[PaperRow]:
    for row in rows:
        theirs = find_printed_figures(row.label)
        if theirs is not None:
            own = {t: e.value for t, e in row.by_target.items() if t in theirs[1]}
            yield PaperRow(label=row.label, own=own, name=theirs[0], printed=theirs[1])


def _curves(records: Sequence[Record], labels: Sequence[str]) -> dict[str, dict[str, Curve]]:
    found: dict[str, dict[str, Curve]] = {}
    for target in sorted({r.target for r in records}):
        for label in labels:
            drawn = curve([r for r in records if r.target == target and r.label == label])
            if drawn is not None:
                found.setdefault(target, {})[label] = drawn
    return found


def _distributions(records: Sequence[Record], best: LeaderboardRow | None) -> Iterator[Distribution]:
    """Of the best row's first seed: scores of different fits are not of one scale."""
    for target in sorted({r.target for r in records}):
        own = [
            r for r in records if r.status == "ok" and r.target == target and best and r.label == best.label
        ]
        if not own:
            continue
        record = min(own, key=lambda r: r.fit.seed)
        pairs = list(zip(record.labels, record.image_scores, strict=True))
        normal = tuple(s for label, s in pairs if label == 0)
        abnormal = tuple(s for label, s in pairs if label == 1)
        threshold = f1_threshold(record.labels, record.image_scores)
        if threshold is not None:
            rank = math.ceil(_KEPT_NORMALS * len(normal)) - 1
            yield Distribution(
                target=target,
                label=record.label,
                normal=normal,
                abnormal=abnormal,
                thresholds={
                    "best F1": threshold,
                    f"{_KEPT_NORMALS:.0%} of the normal ones": sorted(normal)[rank],
                },
            )
