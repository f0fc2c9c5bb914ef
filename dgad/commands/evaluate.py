"""`dgad evaluate`: fit methods on sources, score an unseen target, print one table."""

import click

from dgad.command_line import PlainConsole, show_progress_bars
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
    scale: str | None,
    tile_px: int | None,
    overlap_px: int | None,
    normalisation: str | None,
    second_backbone: str | None,
    device: str,
    compiled: bool,
    as_json: bool,
) -> None:
    """Train methods on source domains and score a target domain they have never seen."""
    # torch takes seconds to import, and --help needs none of it
    from dgad.api.evaluation import evaluate
    from dgad.commands.evaluate_tables import curve_tables, result_table
    from dgad.evaluation.scoring import parse_reference_counts
    from dgad.evaluation.settings_file import read_settings

    settings = read_settings(
        settings_file,
        backbone=backbone,
        weights=weights,
        scale=scale,
        tile_px=tile_px,
        overlap_px=overlap_px,
        normalisation=normalisation,
        second_backbone=second_backbone,
    )
    chosen = None if sources is None else split_names(sources) if sources.strip() else ()
    with show_progress_bars(enabled=not as_json) as progress:
        table = evaluate(
            data,
            target=target,
            sources=chosen,
            methods=methods if methods in (None, "all") else split_names(methods),
            num_references=parse_reference_counts(num_references),
            seed=seed,
            num_seeds=num_seeds,
            settings=settings,
            device=device,
            compiled=compiled,
            progress=progress,
        )
    if as_json:
        click.echo(table.to_json())
    else:
        console = PlainConsole(soft_wrap=True, pipe_width=160)
        for shown in curve_tables(table) if table.has_several_counts else [result_table(table)]:
            console.print(shown)
        for label, reason in table.not_applicable.items():
            console.print(f"{label}: not applicable: {reason}")
    if table.failed:
        raise TrainingError(" ".join(failure.message for failure in table.failed))


def split_names(text: str) -> tuple[str, ...]:
    """`A, B` as ("A", "B"); `SettingsError` for an empty list."""
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise SettingsError(f"Expected a comma-separated list of names, but got {text!r}.")
    return names
