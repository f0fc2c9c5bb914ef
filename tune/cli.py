"""`dgad-tune`: search settings for unseen surfaces, honestly, on Ray."""

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from dgad.command_line import run_group
from dgad.commands.evaluate import split_names
from dgad.commands.options import device_option, feature_options
from dgad.errors import SettingsError
from tune.cluster_commands import cluster_group
from tune.watch_commands import list_command, logs_command, status_command, stop_command

EXAMPLE = """\b
Examples:
  dgad-tune launch                                  four synthetic surfaces, a few minutes on 2 cores
  dgad-tune launch --data my_surfaces --dry-run     how long it would take
  dgad-tune launch --data my_surfaces --trials 12   the same name again resumes
  dgad-tune status my_surfaces                      from another terminal
"""


SPACE_EXAMPLE = """\b
Examples:
  dgad-tune space comparer                      what is searched, and when
  dgad-tune space comparer --study study.yaml   as a study file narrows it
"""


AUDIT_EXAMPLE = """\b
Example:
  dgad-tune audit my_surfaces
"""


@click.group(epilog=EXAMPLE, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dgad")
def cli() -> None:
    """Search methods and settings for surfaces that nobody has labelled."""


@cli.command("launch", epilog=EXAMPLE)
@click.option("--data", help="Folder or URI of a data set  [default: a synthetic demo]")
@click.option("--layout", help="Layout of the data  [default: found out]")
@click.option(
    "--study",
    "study_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file of study settings; options given here win.",
)
@click.option("--name", help="Name of the study; an existing one is resumed  [default: the data's]")
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Where studies are kept.",
)
@click.option("--methods", help="Comma-separated NAME (searched) or NAME:PRESET (fixed)  [default: comparer]")
@click.option("--folds", help="Comma-separated target domains, or all  [default: all]")
@click.option(
    "--protocol",
    help="How settings are chosen: nested, source-validation, oracle; several stand side by side"
    "  [default: nested]",
)
@click.option(
    "--objectives",
    help="image_auroc, pixel_auroc, aupro, ms_per_image: with several the Pareto front is searched, the"
    " first picks the winner  [default: image_auroc]",
)
@click.option("--constraint", "constraints", multiple=True, help="A bound such as 'ms_per_image <= 20'")
@click.option("--trials", type=int, help="Configurations per cell  [default: 8; demo: 3]")
@click.option("--seeds", type=int, help="Fits of each winner, with as many seeds  [default: 1]")
@click.option("--seed", type=int, help="First seed  [default: 0]")
@click.option("--num-references", help="N, P% of a target's normals, or all  [default: 10]")
@feature_options
@device_option
@click.option("--workers", type=int, help="Fits side by side  [default: 1 a core, 4 a GPU]")
@click.option("--cpus-per-trial", type=int, help="Cores and threads of each fit  [default: shared evenly]")
@click.option("--gpus-per-trial", type=float, help="GPUs of each fit; 0.25 shares one  [default: evenly]")
@click.option("--retry-failed", is_flag=True, help="Try failed fits and trials of the study again.")
@click.option(
    "--cache",
    "cache_folder",
    type=click.Path(path_type=Path),
    help="Where frozen features are kept on each node's disk, for all its trials and later studies"
    "  [default: the user's cache folder]",
)
@click.option(
    "--cache-gib", type=float, default=10.0, show_default=True, help="Its bound; 0 keeps none on disk."
)
@click.option("--tensorboard", is_flag=True, help="Log trials for TensorBoard in RUNS/NAME/tensorboard.")
@click.option("--mlflow", "mlflow_uri", help="Log trials to MLflow: sqlite:///FILE or a server's address.")
@click.option("--dry-run", is_flag=True, help="Count fits, estimate the time, show resources; start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@click.pass_context
def launch_command(
    context: click.Context,
    *,
    study_file: Path | None,
    runs: Path,
    device: str,
    workers: int | None,
    cpus_per_trial: int | None,
    gpus_per_trial: float | None,
    cache_folder: Path | None,
    cache_gib: float,
    tensorboard: bool,
    mlflow_uri: str | None,
    dry_run: bool,
    as_json: bool,
    methods: str | None,
    folds: str | None,
    protocol: str | None,
    objectives: str | None,
    constraints: tuple[str, ...],
    retry_failed: bool,
    **options: Any,
) -> None:
    """Search settings by inner folds only, score each held-out domain once, bundle and report.

    Everything is kept in RUNS/NAME; stopped or killed, the same command goes on where it was.
    """
    from tune import launch  # torch takes seconds to import, and --help needs none of it
    from tune.feature_cache import plan_cache
    from tune.finish import command_line
    from tune.request import Request, resolve_study
    from tune.resources import Demand
    from tune.trackers import Trackers

    given = dict(options)
    for name, text in {"methods": methods, "protocol": protocol, "objectives": objectives}.items():
        given[name] = split_names(text) if text else None
    given["constraints"] = constraints or None
    if folds:
        given["folds"] = () if folds == "all" else split_names(folds)
    request = Request(
        given=given,
        study_file=study_file,
        runs=runs,
        device=device,
        demand=Demand(workers=workers, cpus_per_trial=cpus_per_trial, gpus_per_trial=gpus_per_trial),
        command=command_line(),
        retry_failed=retry_failed,
        disk_cache=plan_cache(cache_folder, cache_gib),
        trackers=Trackers(tensorboard=tensorboard, mlflow_uri=mlflow_uri),
    )
    # With --json the object alone is on standard output.
    console = Console(stderr=as_json)
    if dry_run:
        from tune.dry_run import plan, print_dry_run

        print_dry_run(plan(request), console, as_json=as_json)
        return
    signal.signal(signal.SIGTERM, _interrupt)
    # In the background of a script it may have been ignored, and `dgad-tune stop` sends it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        folder, summary = launch.launch(request, console)
    except KeyboardInterrupt:
        name = resolve_study(request)[0].name
        again = f"dgad-tune launch --name {name}"
        again += "" if str(runs) == "runs" else f" --runs {runs}"
        click.echo(f"Stopped; everything finished is kept in {runs / name}. To go on: {again}", err=True)
        context.exit(130)
    from tune.results import print_results, results_json

    if as_json:
        click.echo(json.dumps(results_json(folder, summary), indent=2, allow_nan=False))
    else:
        print_results(folder, summary, console)


@cli.command("audit", epilog=AUDIT_EXAMPLE)
@click.argument("name")
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Where studies are kept.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@click.pass_context
def audit_command(context: click.Context, *, name: str, runs: Path, as_json: bool) -> None:
    """Check that no cell of the study NAME saw a label of its target before its choice was sealed.

    Exits 1 where one did.
    """
    from tune.audit import audit  # torch takes seconds to import, and --help needs none of it

    folder = runs / name
    if not (folder / "study.yaml").is_file():
        raise SettingsError(
            f"There is no study `{name}` in {runs}: name one with --name and --runs of launch."
        )
    found = audit(folder)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
    else:
        for breach in found.breaches:
            click.echo(breach)
        seen = f"{found.num_entries} ledger entries, {found.num_records} records, {found.num_cells} cells"
        if found.oracles:
            click.echo(f"Chose on their targets, as their protocol says: {', '.join(found.oracles)}.")
        if found.num_unseen_fits:
            click.echo(f"{found.num_unseen_fits} fits could not be looked at: they broke off, or are gone.")
        click.echo(
            f"{seen}: {f'{len(found.breaches)} breaches' if found.breaches else 'no label read early'}."
        )
    if found.breaches:
        context.exit(1)


@cli.command("space", epilog=SPACE_EXAMPLE)
@click.argument("method")
@click.option(
    "--study",
    "study_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file of study settings, whose `spaces` narrow the method's.",
)
@click.option("--demo", is_flag=True, help="The smaller space of the demo.")
@feature_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
def space_command(
    *, method: str, study_file: Path | None, demo: bool, as_json: bool, **features: Any
) -> None:
    """Show what the search of METHOD chooses from, and which presets it tries first."""
    from tune.space_report import print_space, space_report  # torch takes seconds to import

    report = space_report(method, study_file, demo=demo, given=features)
    if as_json:
        click.echo(json.dumps(report.as_plain(), indent=2))
    else:
        print_space(report, Console())


for _command in (list_command, status_command, logs_command, stop_command, cluster_group):
    cli.add_command(_command)


def _interrupt(signum: int, frame: object) -> None:
    """A polite kill is a Ctrl-C."""
    raise KeyboardInterrupt


def main() -> None:
    """The program `dgad-tune`."""
    run_group(cli)


if __name__ == "__main__":
    main()
