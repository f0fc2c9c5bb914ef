"""What `dgad evaluate` found, as tables for a reader."""

from rich.table import Table

from dgad.api.evaluation import EvaluationTable


def result_table(found: EvaluationTable) -> Table:
    """A row a method and seed, with the 95% interval of the image AUROC."""
    table = Table(title=found.title, title_justify="left")
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
    for row in found.rows:
        interval = ""
        if row.image_auroc_low is not None and row.image_auroc_high is not None:
            interval = f" [{figure(row.image_auroc_low)}, {figure(row.image_auroc_high)}]"
        table.add_row(
            row.method,
            str(row.seed),
            str(row.num_references),
            figure(row.image_auroc) + interval,
            figure(row.pixel_auroc),
            figure(row.aupro),
            figure(row.f1_max),
            "n/a" if row.ms_per_image is None else f"{row.ms_per_image:.1f}",
            f"{row.fit_s:.1f}",
            f"{row.enroll_s:.1f}",
        )
    return table


def curve_tables(found: EvaluationTable) -> list[Table]:
    """Methods down, numbers of references across; mean and, over several seeds, its standard error."""
    counts = sorted({r.num_references for r in found.rows})
    num_seeds = len({r.seed for r in found.rows})
    tables = []
    for name, points in found.curves().items():
        if not points:
            continue
        seeds = f", mean ± standard error over {num_seeds} seeds" if num_seeds > 1 else ""
        table = Table(
            title=f"{name.replace('_auroc', ' AUROC')} by number of references{seeds} · {found.title}",
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


def figure(value: float | None) -> str:
    """`.923`, `1.000`, or `n/a` where the metric does not apply."""
    return "n/a" if value is None else f"{value:.3f}".removeprefix("0")
