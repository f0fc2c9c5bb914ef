"""`dgad evaluate`: fit methods on sources, score an unseen target, print one table."""

import dataclasses
import json

import click
from rich.console import Console

from dgad.command_line import progress_bars
from dgad.commands.options import device_option, feature_options
from dgad.errors import SettingsError, TrainingError

EXAMPLE = """\b
Example:
  dgad domains synthesize demo
  dgad evaluate --data demo --target woven --num-references 10
  dgad evaluate --data demo --target woven --method all
  dgad evaluate --data demo --target woven --method patch_knn,agg_pair --num-references 1,5,all --seeds 3
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
    "--num-references",
    default="10",
    show_default=True,
    help="N, P% of the target's normals, or all; several, such as 1,2,5,all, give reference curves.",
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
    from dgad.commands.evaluate_tables import curve_tables, result_table, results_json
    from dgad.device import resolve_device
    from dgad.domains import open_dataset
    from dgad.evaluation.experiment import Evaluation, Failure, Result, applicable, evaluate
    from dgad.evaluation.scoring import parse_reference_counts
    from dgad.evaluation.settings_file import read_settings
    from dgad.folds import Fold
    from dgad.methods import METHODS, SHOWN_BESIDE

    if num_seeds < 1:
        raise SettingsError(f"`seeds` must be at least 1, but got {num_seeds}.")
    if seed < 0:
        raise SettingsError(f"`seed` must be at least 0, but got {seed}.")
    settings = read_settings(settings_file, backbone=backbone, weights=weights, image_size_px=image_size_px)
    where = resolve_device(device)
    dataset = open_dataset(data)
    dataset.domain(target)
    chosen = tuple(d for d in dataset.domains if d != target)
    if sources is not None:
        chosen = split_names(sources) if sources.strip() else ()
    shipped = ("comparer:builtin",) if settings.features.weights == "builtin" else ()
    if methods is None:
        labels: tuple[str, ...] = (*shipped, "comparer", *SHOWN_BESIDE)
    elif methods == "all":
        labels = (*shipped, *METHODS, *settings.variants)
    else:
        labels = split_names(methods)
    fold = Fold(target=target, sources=chosen)
    evaluation = Evaluation(
        fold=fold,
        labels=tuple(dict.fromkeys(labels)),
        num_references=parse_reference_counts(num_references),
        seeds=tuple(range(seed, seed + num_seeds)),
        features=settings.features,
        variants=settings.variants,
    )
    absent: dict[str, str] = {}
    if methods == "all":  # who names a method is told why it cannot be had; who asks for all gets the rest
        possible, absent = applicable(dataset, evaluation)
        evaluation = dataclasses.replace(evaluation, labels=possible)
    with progress_bars(enabled=not as_json) as progress:
        outcomes = list(evaluate(dataset, evaluation, device=where, compiled=compiled, progress=progress))
    results = [o for o in outcomes if isinstance(o, Result)]
    failures = [o for o in outcomes if isinstance(o, Failure)]
    if as_json:
        click.echo(json.dumps(results_json(results, absent, failures, fold), indent=2, allow_nan=False))
    else:
        console = Console(soft_wrap=True)
        if not console.is_terminal:  # in a pipe rich assumes 80 columns and would cut names and figures
            console = Console(soft_wrap=True, width=160)
        several = len({r.num_references for r in results}) > 1
        for table in curve_tables(results, fold) if several else [result_table(results, fold)]:
            console.print(table)
        for label, reason in absent.items():
            console.print(f"{label}: not applicable: {reason}", markup=False, highlight=False)
    if failures:
        raise TrainingError(" ".join(f.message for f in failures))


def split_names(text: str) -> tuple[str, ...]:
    """`A, B` as ("A", "B"); `SettingsError` for an empty list."""
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise SettingsError(f"Expected a comma-separated list of names, but got {text!r}.")
    return names
