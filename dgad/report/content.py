"""What a report shows beyond the leaderboard, computed from the summary and the records alone."""

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence

from scipy import stats

from dgad.evaluation.curves import CurvePoint, curve_points
from dgad.evaluation.metrics import f1_threshold
from dgad.records import Record
from dgad.report.kinds import KindRow, kind_rows
from dgad.report.paper import printed, why_not
from dgad.report.roc import Curve, curve
from dgad.report.summary import StudySummary
from dgad.report.tables import METRIC_TITLES, LeaderboardRow, is_comparer, leaderboard, outer_records

MAX_CURVES = 6
"""Lines of one drawing; more could not be told apart."""
_CURVE_METRICS = ("image_auroc", "pixel_auroc")


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
    every_record: tuple[Record, ...]
    rows: tuple[LeaderboardRow, ...]
    tables: dict[str, tuple[LeaderboardRow, ...]]
    """By metric; those that have a figure."""
    reference_curves: dict[str, tuple[CurvePoint, ...]]
    """By metric; only where several numbers of references were scored."""
    kinds: tuple[KindRow, ...]
    trade_offs: tuple[TradeOff, ...]
    distances: tuple[DistanceRow, ...]
    rank_correlation: float | None
    """Spearman's, between distance and AUROC over targets; None for fewer than three."""
    paper: tuple[PaperRow, ...]
    why_no_paper: str | None
    curves: dict[str, dict[str, Curve]]
    """ROC and PR by target and label, of the best rows."""
    distributions: tuple[Distribution, ...]

    @property
    def best(self) -> LeaderboardRow | None:
        """The best trained comparer, else the best row."""
        scored = [r for r in self.rows if r.mean is not None]
        return next((r for r in scored if is_comparer(r.label)), scored[0] if scored else None)

    @property
    def num_stopped(self) -> int:
        """Trials that were given up early."""
        return sum(t.status == "stopped" for c in self.summary.cells for t in c.trials)


def content(summary: StudySummary, every_record: Sequence[Record]) -> Content:
    """Compute it once for the page and the files."""
    records = outer_records(summary, every_record)
    tables = {metric: leaderboard(records, metric) for metric in METRIC_TITLES}
    rows = tables["image_auroc"]
    shown = [r.label for r in rows if r.mean is not None][:MAX_CURVES]
    distances = tuple(_distances(summary, rows))
    reason = why_not(records) if records else "there are no results yet"
    return Content(
        summary=summary,
        records=records,
        every_record=tuple(every_record),
        rows=rows,
        tables={m: t for m, t in tables.items() if any(row.by_target for row in t)},
        reference_curves=_reference_curves(records, every_record),
        kinds=kind_rows([r for r in records if r.label in shown]),
        trade_offs=tuple(_trade_offs(rows)),
        distances=distances,
        rank_correlation=_rank_correlation(distances),
        paper=() if reason else tuple(_paper(rows)),
        why_no_paper=reason,
        curves=_curves(records, shown),
        distributions=tuple(_distributions(records, rows)),
    )


def _reference_curves(
    records: Sequence[Record], every_record: Sequence[Record]
) -> dict[str, tuple[CurvePoint, ...]]:
    """Means over targets by label, number of references and seed; only numbers that every target has."""
    by_fit: dict[tuple[str, str], list[Record]] = {}
    for record in every_record:
        if record.status == "ok":
            by_fit.setdefault((record.fit.id, record.target), []).append(record)
    found = {}
    for metric in _CURVE_METRICS:
        values: dict[tuple[str, int, int], dict[str, float]] = {}
        for own in records:
            for record in by_fit.get((own.fit.id, own.target), ()):
                value = getattr(record.metrics, metric)
                if value is not None:
                    key = (own.label, record.num_references, record.fit.seed)
                    values.setdefault(key, {})[own.target] = value
        most = {label: max(len(v) for k, v in values.items() if k[0] == label) for label, _, _ in values}
        whole = [
            (label, count, sum(by_target.values()) / len(by_target))
            for (label, count, _), by_target in values.items()
            if len(by_target) == most[label]
        ]
        points = curve_points(whole)
        if len({p.num_references for p in points}) > 1:
            found[metric] = points
    return found


def _trade_offs(rows: Sequence[LeaderboardRow]) -> Iterator[TradeOff]:
    known = [
        (r.label, r.ms_per_image, r.mean.value)
        for r in rows
        if r.mean is not None
        and r.ms_per_image is not None
        and not r.num_missing
        and "[oracle]" not in r.label
    ]
    for label, ms, auroc in known:
        beaten = any(m <= ms and a >= auroc and (m, a) != (ms, auroc) for _, m, a in known)
        yield TradeOff(label=label, ms_per_image=ms, image_auroc=auroc, is_on_front=not beaten)


def _distances(summary: StudySummary, rows: Sequence[LeaderboardRow]) -> Iterator[DistanceRow]:
    measured = summary.distances
    scored = [r for r in rows if r.mean is not None]
    best = next((r for r in scored if is_comparer(r.label)), scored[0] if scored else None)
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
    if len(rows) < 3:
        return None
    found = float(stats.spearmanr([r.distance for r in rows], [r.image_auroc for r in rows]).statistic)
    return found if math.isfinite(found) else None


def _paper(rows: Sequence[LeaderboardRow]) -> Iterator[PaperRow]:
    for row in rows:
        theirs = printed(row.label)
        if theirs:
            own = {t: e.value for t, e in row.by_target.items() if t in theirs}
            yield PaperRow(label=row.label, own=own, printed=theirs)


def _curves(records: Sequence[Record], labels: Sequence[str]) -> dict[str, dict[str, Curve]]:
    found: dict[str, dict[str, Curve]] = {}
    for target in sorted({r.target for r in records}):
        for label in labels:
            drawn = curve([r for r in records if r.target == target and r.label == label])
            if drawn is not None:
                found.setdefault(target, {})[label] = drawn
    return found


def _distributions(records: Sequence[Record], rows: Sequence[LeaderboardRow]) -> Iterator[Distribution]:
    """Of the best comparer's first seed: scores of different fits are not of one scale."""
    scored = [r for r in rows if r.mean is not None]
    best = next((r.label for r in scored if is_comparer(r.label)), scored[0].label if scored else None)
    for target in sorted({r.target for r in records}):
        own = [r for r in records if r.status == "ok" and r.target == target and r.label == best]
        if not own:
            continue
        record = min(own, key=lambda r: r.fit.seed)
        pairs = list(zip(record.labels, record.image_scores, strict=True))
        normal = tuple(s for label, s in pairs if label == 0)
        abnormal = tuple(s for label, s in pairs if label == 1)
        threshold = f1_threshold(record.labels, record.image_scores)
        if normal and abnormal and threshold is not None:
            rank = max(0, math.ceil(0.95 * len(normal)) - 1)
            yield Distribution(
                target=target,
                label=record.label,
                normal=normal,
                abnormal=abnormal,
                thresholds={"best F1": threshold, "95% of the normal ones": sorted(normal)[rank]},
            )


def as_text(value: object) -> str:
    """A setting as tables keep it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
