"""What `dgad evaluate` found, as tables for a reader and as JSON for a program."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from dgad.evaluation.curves import CurvePoint, curve_points
from dgad.evaluation.experiment import Failure, Result
from dgad.folds import Fold


def results_json(
    results: Sequence[Result], absent: Mapping[str, str], failures: Sequence[Failure], fold: Fold
) -> dict[str, Any]:
    """DESIGN's JSON, with what could not be had beside it, and curves where there are several counts."""
    rows = [result_json(r, target=fold.target, sources=fold.sources) for r in results]
    found: dict[str, Any] = {"results": rows}
    if absent:
        found["not_applicable"] = [{"method": label, "reason": reason} for label, reason in absent.items()]
    if failures:
        found["failed"] = [dataclasses.asdict(f) for f in failures]
    if len({r.num_references for r in results}) > 1:
        found["curves"] = {
            name: [dataclasses.asdict(p) for p in points] for name, points in curves(results).items()
        }
    return found


def result_json(result: Result, *, target: str, sources: tuple[str, ...]) -> dict[str, Any]:
    """One row of DESIGN's JSON; a metric that does not apply is null."""
    scores, metrics = result.scores, result.scores.metrics
    return {
        "method": result.label,
        "target": target,
        "sources": list(sources),
        "num_references": result.num_references,
        "seed": result.seed,
        "image_auroc": metrics.image_auroc,
        "image_auroc_low": metrics.image_auroc_low,
        "image_auroc_high": metrics.image_auroc_high,
        "pixel_auroc": metrics.pixel_auroc,
        "aupro": metrics.aupro,
        "f1_max": metrics.f1_max,
        "ms_per_image": None if math.isnan(scores.ms_per_image) else scores.ms_per_image,
        "fit_s": result.fit_s,
        "enroll_s": scores.enroll_s,
        "num_queries": len(scores.sample_ids),
    }


def result_table(results: Sequence[Result], fold: Fold) -> Table:
    """The same rows for a reader."""
    table = Table(title=_place(fold), title_justify="left")
    table.add_column("method", no_wrap=True)
    columns = (
        "seed",
        "refs",
        "image AUROC [95%]",
        "pixel AUROC",
        "AUPRO",
        "F1-max",
        "ms/image",
        "fit s",
        "enrol s",
    )
    for name in columns:
        table.add_column(name, justify="right", no_wrap=name.startswith("image"))
    for result in results:
        scores, metrics = result.scores, result.scores.metrics
        interval = ""
        if metrics.image_auroc_low is not None and metrics.image_auroc_high is not None:
            interval = f" [{figure(metrics.image_auroc_low)}, {figure(metrics.image_auroc_high)}]"
        table.add_row(
            result.label,
            str(result.seed),
            str(result.num_references),
            figure(metrics.image_auroc) + interval,
            figure(metrics.pixel_auroc),
            figure(metrics.aupro),
            figure(metrics.f1_max),
            f"{scores.ms_per_image:.1f}",
            f"{result.fit_s:.1f}",
            f"{scores.enroll_s:.1f}",
        )
    return table


def curves(results: Sequence[Result]) -> dict[str, tuple[CurvePoint, ...]]:
    """Reference curves of the image and the pixel AUROC."""
    return {
        "image_auroc": curve_points(
            (r.label, r.num_references, r.scores.metrics.image_auroc) for r in results
        ),
        "pixel_auroc": curve_points(
            (r.label, r.num_references, r.scores.metrics.pixel_auroc) for r in results
        ),
    }


def curve_tables(results: Sequence[Result], fold: Fold) -> list[Table]:
    """Methods down, numbers of references across; mean and, over several seeds, its standard error."""
    counts = sorted({r.num_references for r in results})
    num_seeds = len({r.seed for r in results})
    tables = []
    for name, points in curves(results).items():
        if not points:
            continue
        seeds = f", mean ± standard error over {num_seeds} seeds" if num_seeds > 1 else ""
        table = Table(
            title=f"{name.replace('_auroc', ' AUROC')} by number of references{seeds} · {_place(fold)}",
            title_justify="left",
        )
        table.add_column("method", no_wrap=True)
        for count in counts:
            table.add_column(str(count), justify="right")
        by_place = {(p.label, p.num_references): p for p in points}
        for label in dict.fromkeys(p.label for p in points):
            cells = []
            for count in counts:
                point = by_place.get((label, count))
                error = point.standard_error if point else None
                cells.append(
                    figure(point.mean if point else None)
                    + (f" ±{figure(error)}" if error is not None else "")
                )
            table.add_row(label, *cells)
        tables.append(table)
    return tables


def _place(fold: Fold) -> str:
    return f"target {fold.target} · sources {', '.join(fold.sources) or 'none'}"


def figure(value: float | None) -> str:
    """`.923`, `1.000`, or `n/a` where the metric does not apply."""
    return "n/a" if value is None else f"{value:.3f}".removeprefix("0")
