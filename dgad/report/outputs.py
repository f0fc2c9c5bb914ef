"""The content of a report as tables and drawings with names, for the page and for files beside it."""

import json
from collections.abc import Iterator, Mapping, Sequence

from dgad.features.second import NO_SECOND
from dgad.records import Record
from dgad.report import plots
from dgad.report.content import Content
from dgad.report.exports import ReportTable
from dgad.report.paper import TEXTURES
from dgad.report.plots import Plot
from dgad.report.tables import METRIC_TITLES, LeaderboardRow, optimism

_FIGURES = {"image_auroc": "figure3", "pixel_auroc": "figure4"}
"""The paper's numbers of the reference curves."""


def report_tables(content: Content) -> tuple[ReportTable, ...]:
    """Every table that has a row."""
    return tuple(table for table in _tables(content) if table.rows)


def report_plots(content: Content) -> tuple[Plot, ...]:
    """Every drawing that has something to show; takes seconds."""
    return tuple(_plots(content))


def _tables(content: Content) -> Iterator[ReportTable]:
    summary = content.summary
    for metric, rows in content.tables.items():
        yield _leaderboard(
            f"leaderboard_{metric}", f"{METRIC_TITLES[metric]} on surfaces held out", rows, content.records
        )
    for metric, rows in content.extra_tables.items():
        yield _leaderboard(
            f"other_data_{metric}", f"{METRIC_TITLES[metric]} on another data set", rows, content.extra
        )
    yield ReportTable(
        name="results",
        title="Every result on a surface held out",
        columns=(
            *("method", "target", "seed", "num_references", *METRIC_TITLES, "fit_s", "ms_per_image"),
            *("ms_per_megapixel", "backbone", "weights", "scale", "tile_px", "normalisation"),
        ),
        rows=tuple(
            (
                r.label,
                r.target,
                r.fit.seed,
                r.num_references,
                *(getattr(r.metrics, m) for m in METRIC_TITLES),
                r.fit_s,
                r.ms_per_image,
                r.ms_per_megapixel,
                *_features_of(r),
            )
            for r in (*content.records, *content.extra)
            if r.status == "ok"
        ),
    )
    if content.paper:
        own = [
            (p.label, "here", *(p.own.get(t) for t in TEXTURES), texture_mean(p.own)) for p in content.paper
        ]
        theirs = [(p.name, "paper", *p.printed.values(), texture_mean(p.printed)) for p in content.paper]
        pairs = [row for pair in zip(own, theirs, strict=True) for row in pair]
        yield ReportTable(
            name="paper_table1",
            title="Image AUROC beside the paper's Table 1",
            columns=("method", "source", *TEXTURES, "mean"),
            rows=tuple(pairs),
        )
    yield ReportTable(
        name="protocols",
        title="Mean image AUROC shown by other protocols over nested selection",
        columns=("method", "nested", "protocol", "gap", "low", "high"),
        rows=tuple(
            (o.method, o.nested, o.protocol, o.gap.value, o.gap.low, o.gap.high)
            for o in optimism(content.records)
        ),
    )
    yield ReportTable(
        name="reference_curves",
        title="Mean over the targets by number of references",
        columns=("metric", "method", "asked", "num_references", "mean", "standard_error", "num_seeds"),
        rows=tuple(
            (metric, p.label, p.asked, p.num_references, p.mean, p.standard_error, p.num_seeds)
            for metric, points in content.reference_curves.items()
            for p in points
        ),
        digits={"num_references": 1},
    )
    yield ReportTable(
        name="defect_kinds",
        title="Kinds of defect against all normal images of their surface",
        columns=("target", "kind", "method", "num_images", "image_auroc", "found_at_best_f1"),
        rows=tuple((k.target, k.kind, k.label, k.num_images, k.image_auroc, k.found) for k in content.kinds),
    )
    yield ReportTable(
        name="accuracy_latency",
        title="Accuracy and latency",
        columns=("method", "ms_per_image", "image_auroc", "on_front"),
        rows=tuple((t.label, t.ms_per_image, t.image_auroc, t.is_on_front) for t in content.trade_offs),
        digits={"ms_per_image": 1},
    )
    measured = summary.distances
    if measured is not None:
        yield ReportTable(
            name="domain_distances",
            title=(
                f"Fréchet distance between domains ({measured.num_features} features of"
                f" {measured.backbone}; mean without the zero with itself)"
            ),
            columns=("domain", "num_images", *measured.domains, "mean_to_others"),
            rows=tuple(
                (domain, count, *row, measured.mean_to_others(domain))
                for domain, count, row in zip(
                    measured.domains, measured.num_images, measured.distances, strict=True
                )
            ),
        )
    yield ReportTable(
        name="importance",
        title="Share of the inner score's variance by setting (fANOVA)",
        columns=("cell", "setting", "share"),
        rows=tuple(
            (f"{c.label} on {c.target}", name, share)
            for c in summary.cells
            for name, share in c.importance.items()
        ),
    )
    yield ReportTable(
        name="trials",
        title="Every configuration that was tried",
        columns=("cell", "trial", "status", "value", "duration_s", "settings", "error"),
        rows=tuple(
            (
                f"{c.label} on {c.target}",
                t.number,
                t.status,
                t.value,
                t.duration_s,
                json.dumps(t.settings, ensure_ascii=False, sort_keys=True),
                t.error,
            )
            for c in summary.cells
            for t in c.trials
        ),
    )


def _features_of(record: Record) -> tuple[str | int | None, ...]:
    """What images of a fit were looked at with; what an earlier version did not write is None."""
    features = record.fit.features
    scale = features.get("scale")
    if scale is None and "image_size_px" in features:
        scale = f"squash {features['image_size_px']}"
    backbone, second = features.get("backbone"), features.get("second_backbone", NO_SECOND)
    if second != NO_SECOND:
        backbone = f"{backbone} + {second}"
    named = (backbone, features.get("weights"), scale, features.get("tile_px"))
    return *named, features.get("normalisation")


def _leaderboard(
    name: str, title: str, rows: Sequence[LeaderboardRow], records: Sequence[Record]
) -> ReportTable:
    targets = tuple(sorted({r.target for r in records}))
    return ReportTable(
        name=name,
        title=title,
        columns=("method", *targets, "mean", "low", "high", "ms_per_image"),
        rows=tuple(
            (
                row.label,
                *(row.by_target[t].value if t in row.by_target else None for t in targets),
                *((row.mean.value, row.mean.low, row.mean.high) if row.mean else (None,) * 3),
                row.ms_per_image,
            )
            for row in rows
        ),
        digits={"ms_per_image": 1},
    )


def texture_mean(values: Mapping[str, float]) -> float | None:
    """Over all of MVTec's textures; None where one is missing."""
    return sum(values[t] for t in TEXTURES) / len(TEXTURES) if values.keys() >= TEXTURES.keys() else None


def _plots(content: Content) -> Iterator[Plot]:
    for metric, points in content.reference_curves.items():
        yield plots.reference_curves(
            points, metric=f"mean {METRIC_TITLES[metric]}", name=f"{_FIGURES[metric]}_{metric}_by_references"
        )
    for target, drawn in content.curves.items():
        yield plots.curves(drawn, kind="roc", target=target, name=f"roc_{target}")
        yield plots.curves(drawn, kind="pr", target=target, name=f"pr_{target}")
    for d in content.distributions:
        yield plots.score_distribution(
            d.normal, d.abnormal, d.thresholds, target=d.target, name=f"scores_{d.target}"
        )
    if len(content.trade_offs) > 1:
        yield plots.accuracy_by_latency(
            [(t.label, t.ms_per_image, t.image_auroc, t.is_on_front) for t in content.trade_offs],
            name="accuracy_by_latency",
        )
    if len(content.distances) > 1:
        yield plots.distance_by_auroc(
            [(d.target, d.distance, d.image_auroc) for d in content.distances],
            title="Image AUROC by mean distance to the other domains",
            name="distance_by_auroc",
        )
