"""What `dgad-tune launch` prints at the end: the leaderboard, the bundle, where everything is."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dgad.records import RecordStore
from dgad.report.summary import StudySummary
from dgad.report.tables import (
    Estimate,
    LeaderboardRow,
    Optimism,
    extra_records,
    leaderboard,
    optimism,
    outer_records,
    read_named_records,
)
from dgad.settings import to_dict
from tune.monitoring.progress import format_clock
from tune.run_folder.layout import RECORDS_FOLDER, REPORT_FILE
from tune.study.cell_id import CellId


def print_results(folder: Path, summary: StudySummary, console: Console) -> None:
    """Print image AUROC by method and target, failures, the bundle, and where the report is."""
    named = read_named_records(summary, RecordStore(folder / RECORDS_FOLDER))
    records = outer_records(summary, named)
    targets = list(dict.fromkeys(c.target for c in summary.cells if c.target in summary.domains))
    console.print()
    console.print(_leaderboard_table(leaderboard(records), targets, "Image AUROC on surfaces held out"))
    if summary.extra_targets:
        rows = leaderboard(extra_records(summary, named))
        title = f"Image AUROC on another data set, fitted on all {len(summary.domains)} domains"
        console.print(_leaderboard_table(rows, summary.extra_targets, title))
    for cell in summary.cells:
        if cell.error:
            text = f"{cell.label} on {cell.target} failed: {cell.error}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
    for label, reason in summary.not_applicable.items():
        text = f"{label}: not applicable: {reason}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    lines = [
        _chosen_by(summary),
        *(_optimism(other) for other in optimism(records)),
        *_fronts(summary),
        f"{summary.fits_computed} fits computed, {summary.fits_reused} more requests answered by a shared"
        f" fit{_elsewhere(summary)}; {format_clock(summary.wall_s)} in all.",
    ]
    if summary.bundle is not None:
        expected = summary.bundle.expected_image_auroc
        figure = "not measured" if expected is None else f"{expected:.3f} (the estimate above)"
        lines.append(
            f"Bundle: {folder / summary.bundle.path}: {summary.bundle.method} {_made(summary)};"
            f" expected image AUROC on a new one {figure}."
        )
    elif not any(label.partition(":")[0] == "comparer" for label in summary.methods):
        lines.append("No bundle: it is made of the first comparer among the methods, and there was none.")
    lines.append(f"Report: {folder / REPORT_FILE}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _chosen_by(summary: StudySummary) -> str:
    """The study's own protocol, and what it promises."""
    if summary.protocol == "oracle":
        return "Chosen by oracle, on the targets themselves: these figures are no estimate for a new surface."
    what = "folds" if summary.protocol == "nested" else "images held back"
    return (
        f"Chosen by {summary.protocol} {what}: no label of a target was read before its settings were fixed"
        f"{', but in rows marked [oracle]' if any(c.protocol == 'oracle' for c in summary.cells) else ''}."
    )


def _optimism(other: Optimism) -> str:
    """What another protocol shows, beside nested."""
    what = "the optimism of peeking at the target" if other.protocol == "oracle" else "not nested"
    return (
        f"{other.method} chosen by {other.protocol}: {other.gap.value:+.3f}"
        f" ({other.gap.low:+.3f} to {other.gap.high:+.3f}) against nested {other.nested:.3f}; {what}."
    )


def _fronts(summary: StudySummary) -> Iterator[str]:
    """One line a cell that has a Pareto front."""
    for cell in summary.cells:
        points = [t for t in cell.trials if t.number in cell.front]
        shown = "; ".join(
            ", ".join(f"{name} {t.values[name]:.4g}" for name in summary.objectives) for t in points
        )
        if points:
            yield f"Pareto front of {cell.label} on {cell.target}: {shown}."


def _elsewhere(summary: StudySummary) -> str:
    """Fits that were read from other studies."""
    count = summary.fits_elsewhere
    return f", {count} of them computed by other studies" if count else ""


def _made(summary: StudySummary) -> str:
    """How the bundled method came about."""
    assert summary.bundle is not None
    everywhere = f"all {len(summary.domains)} domains"
    if summary.bundle.was_trained:
        return f"fitted on {everywhere}"
    return f"as it comes, since the settings that did best over {everywhere} train nothing"


def results_as_plain(folder: Path, summary: StudySummary) -> dict[str, Any]:
    """The results of a study as plain values, for programs."""
    named = read_named_records(summary, RecordStore(folder / RECORDS_FOLDER))
    extra = leaderboard(extra_records(summary, named))
    return {
        "name": summary.name,
        "folder": str(folder),
        "report": str(folder / REPORT_FILE),
        "bundle": to_dict(summary.bundle) if summary.bundle else None,
        "protocol": summary.protocol,
        "fits_computed": summary.fits_computed,
        "fits_reused": summary.fits_reused,
        "fits_elsewhere": summary.fits_elsewhere,
        "wall_s": summary.wall_s,
        "leaderboard": [dataclasses.asdict(r) for r in leaderboard(outer_records(summary, named))],
        "other_data": [dataclasses.asdict(r) for r in extra],
        "not_applicable": dict(summary.not_applicable),
        "errors": {str(CellId.of(c.method, c.protocol, c.target)): c.error for c in summary.cells if c.error},
    }


def _leaderboard_table(rows: Sequence[LeaderboardRow], targets: Sequence[str], title: str) -> Table:
    """Methods by targets; the interval of the mean is over images."""
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    # In a pipe rich assumes 80 columns and would cut labels first.
    table.add_column("method", min_width=max((len(row.label) for row in rows), default=0))
    for name in targets:
        table.add_column(name, justify="right")
    table.add_column("mean", justify="right")
    table.add_column("95% (images)", justify="right", no_wrap=True)
    table.add_column("ms/image", justify="right")
    for row in rows:
        table.add_row(
            row.label,
            *(_figure(row.by_target.get(name)) for name in targets),
            _figure(row.mean),
            "-" if row.mean is None or row.mean.low is None else f"{row.mean.low:.3f}-{row.mean.high:.3f}",
            "-" if row.ms_per_image is None else f"{row.ms_per_image:.1f}",
        )
    return table


def _figure(estimate: Estimate | None) -> str:
    return "-" if estimate is None else f"{estimate.value:.3f}"
