"""`dgad evaluate`: fit methods on sources, score an unseen target, print one table."""

import json
import math
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from dgad.command_line import progress_bars
from dgad.commands.options import device_option, feature_options, read_settings
from dgad.errors import SettingsError

if TYPE_CHECKING:
    from dgad.evaluation.experiment import Result

EXAMPLE = """\b
Example:
  dgad domains synthesize demo
  dgad evaluate --data demo --target woven --num-references 10
"""


@click.command("evaluate", epilog=EXAMPLE)
@click.option("--data", required=True, help="Folder or URI of a data set (see `dgad domains check`).")
@click.option("--target", required=True, help="The unseen domain; its labels are read for the metrics only.")
@click.option("--sources", help="Comma-separated domains to train on, '' for none  [default: all others]")
@click.option(
    "--method",
    "methods",
    help="Comma-separated NAME or NAME:PRESET, or all  [default: comparer:builtin on builtin weights,"
    " comparer, comparer:untrained, patch_knn, trivial]",
)
@click.option(
    "--num-references", default="10", show_default=True, help="N, P% of the target's normals, or all."
)
@click.option(
    "--settings", "settings_file", help="YAML: features: {...}, methods: {LABEL: {preset: ..., ...}}"
)
@click.option("--seed", default=0, show_default=True, help="First seed.")
@click.option(
    "--seeds", "num_seeds", default=1, show_default=True, help="How many seeds, counted up from --seed."
)
@feature_options
@device_option
@click.option(
    "--compile", "compiled", is_flag=True, help="Score with compiled kernels (needs a C++ compiler)."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def evaluate_command(
    data: str,
    target: str,
    sources: str | None,
    methods: str | None,
    num_references: str,
    settings_file: str | None,
    seed: int,
    num_seeds: int,
    backbone: str | None,
    weights: str | None,
    image_size_px: int | None,
    device: str,
    compiled: bool,
    as_json: bool,
) -> None:
    """Train methods on source domains and score a target domain they have never seen."""
    # torch takes seconds to import, and --help needs none of it
    from dgad.device import resolve_device
    from dgad.domains import open_dataset
    from dgad.evaluation.experiment import Evaluation, evaluate
    from dgad.evaluation.scoring import parse_num_references
    from dgad.folds import Fold
    from dgad.methods import METHODS, SHOWN_BESIDE

    if num_seeds < 1:
        raise SettingsError(f"`seeds` must be at least 1, but got {num_seeds}.")
    settings = read_settings(settings_file, backbone=backbone, weights=weights, image_size_px=image_size_px)
    where = resolve_device(device)
    dataset = open_dataset(data)
    dataset.domain(target)
    chosen = tuple(d for d in dataset.domains if d != target)
    if sources is not None:
        chosen = split_names(sources) if sources.strip() else ()
    if methods is None:
        shipped = ("comparer:builtin",) if settings.features.weights == "builtin" else ()
        labels: tuple[str, ...] = (*shipped, "comparer", *SHOWN_BESIDE)
    else:
        labels = (*METHODS, *settings.variants) if methods == "all" else split_names(methods)
    evaluation = Evaluation(
        fold=Fold(target=target, sources=chosen),
        labels=tuple(dict.fromkeys(labels)),
        num_references=parse_num_references(num_references),
        seeds=tuple(range(seed, seed + num_seeds)),
        features=settings.features,
        variants=settings.variants,
    )
    with progress_bars(enabled=not as_json) as progress:
        results = list(evaluate(dataset, evaluation, device=where, compiled=compiled, progress=progress))
    if as_json:
        rows = [result_json(r, target=target, sources=chosen) for r in results]
        click.echo(json.dumps({"results": rows}, indent=2, allow_nan=False))
    else:
        Console(soft_wrap=True).print(result_table(results, target=target, sources=chosen))


def split_names(text: str) -> tuple[str, ...]:
    """`A, B` as ("A", "B"); `SettingsError` for an empty list."""
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise SettingsError(f"Expected a comma-separated list of names, but got {text!r}.")
    return names


def result_json(result: "Result", *, target: str, sources: tuple[str, ...]) -> dict[str, Any]:
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


def result_table(results: list["Result"], *, target: str, sources: tuple[str, ...]) -> Table:
    """The same rows for a reader."""
    title = f"target {target} · sources {', '.join(sources) or 'none'}"
    table = Table(title=title, title_justify="left")
    table.add_column("method")
    for name in ("seed", "refs", "image AUROC [95%]", "pixel AUROC", "AUPRO", "F1-max", "ms/image", "fit s"):
        table.add_column(name, justify="right")
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
        )
    return table


def figure(value: float | None) -> str:
    """`.923`, `1.000`, or `n/a` where the metric does not apply."""
    return "n/a" if value is None else f"{value:.3f}".removeprefix("0")
