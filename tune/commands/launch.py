"""`dgad-tune launch`: its options, and where it goes from there."""

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from cluster.target import ClusterTarget, declare_cluster_options, resolve_target
from dgad.command_line import PlainConsole, reserve_stdout
from dgad.commands.options import device_option
from dgad.errors import SettingsError
from tune.commands.study_options import add_study_options, read_settings
from tune.run_folder.location import DEFAULT, Runs

if TYPE_CHECKING:
    from tune.launcher.request import Request

EXAMPLE = """\b
Examples:
  dgad-tune launch                                  four synthetic surfaces, a few minutes on 2 cores
  dgad-tune launch --data my_surfaces --dry-run     how long it would take
  dgad-tune launch --data my_surfaces --trials 12   the same name again resumes
  dgad-tune status my_surfaces                      from another terminal
  dgad-tune launch --study paper --data mvtec_ad --extra-targets btad
  dgad-tune launch --cluster cluster.yaml --data s3://bucket/packed --runs s3://bucket/runs
"""


@click.command("launch", epilog=EXAMPLE)
@add_study_options
@click.option(
    "--study",
    "study_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file of study settings, or `paper`, the one that ships; options given here win.",
)
@click.option(
    "--runs",
    default=DEFAULT,
    show_default=True,
    help="Where studies are kept: a folder, or a URI such as s3://bucket/runs.",
)
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
@declare_cluster_options(
    file_help="Ray's cluster file: bring that cluster up, or find it up, and run there.",
    address_help="Run on a Ray that runs already: its dashboard, http://HOST:8265; on its hosts `auto`.",
)
@click.option("--detach", is_flag=True, help="On a cluster: come back once the study is sent.")
@click.option("--down-after", is_flag=True, help="Take the cluster down once results are brought here.")
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(DEFAULT),
    show_default=True,
    help="Where --down-after brings results that lie on the cluster's hosts.",
)
@click.option(
    "--price",
    "prices",
    multiple=True,
    help="TYPE=PRICE: what a node of that type costs an hour, for --dry-run.",
)
@click.option("--dry-run", is_flag=True, help="Count fits, estimate the time, show resources; start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@click.pass_context
def launch_command(
    context: click.Context,
    /,
    *,
    study_file: Path | None,
    runs: str,
    device: str,
    workers: int | None,
    cpus_per_trial: int | None,
    gpus_per_trial: float | None,
    cache_folder: Path | None,
    cache_gib: float,
    tensorboard: bool,
    mlflow_uri: str | None,
    cluster_file: Path | None,
    address: str | None,
    python: str | None,
    detach: bool,
    down_after: bool,
    results: Path,
    prices: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    retry_failed: bool,
    **study_settings: Any,
) -> None:
    """Search settings by inner folds only, score each held-out domain once, bundle and report.

    Everything is kept in RUNS/NAME; stopped or killed, the same command goes on where it was.
    """
    from tune.caches.features import plan_cache  # torch takes seconds to import, and --help needs none of it
    from tune.launcher.request import Request
    from tune.monitoring.trackers import Trackers
    from tune.results.summarise import read_command_line
    from tune.search.workers import Demand
    from tune.study.paper import check_paper_data, is_paper

    is_here = address is not None and not address.startswith(("http://", "https://")) and cluster_file is None
    target = None if is_here else resolve_target(cluster_file, address, python)
    _check_remote_options(target, detach=detach, down_after=down_after, prices=prices)
    request = Request(
        given=read_settings(study_settings),
        study_file=study_file,
        runs=Runs(location=runs),
        device=device,
        demand=Demand(workers=workers, cpus_per_trial=cpus_per_trial, gpus_per_trial=gpus_per_trial),
        command=read_command_line(),
        retry_failed=retry_failed,
        disk_cache=plan_cache(cache_folder, cache_gib),
        trackers=Trackers(tensorboard=tensorboard, mlflow_uri=mlflow_uri),
        address=address if is_here else None,
    )
    if is_paper(study_file):
        check_paper_data(request.given_study())
    # With --json the object alone is on standard output. Named now, since others lose it while Ray runs.
    console = PlainConsole(stderr=True) if as_json else PlainConsole(file=sys.stdout)
    if dry_run:
        _print_dry_run(request, target, prices, console, as_json=as_json)
        return
    if target is not None:
        from tune.remote.launch import launch_remote

        context.exit(
            launch_remote(
                target,
                request,
                console,
                detach=detach,
                down_after=results if down_after else None,
                as_json=as_json,
            )
        )
    _launch_here(context, request, console, as_json=as_json)


def _print_dry_run(
    request: "Request",
    target: ClusterTarget | None,
    prices: tuple[str, ...],
    console: Console,
    *,
    as_json: bool,
) -> None:
    from tune.launcher.dry_run import plan_study, print_dry_run

    if target is None or target.file is None:
        print_dry_run(plan_study(request), console, as_json=as_json)
        return
    from tune.launcher.cluster_estimate import plan_cluster
    from tune.search.workers import Demand

    # Measured here, whatever a trial asks of a node there.
    found = plan_study(dataclasses.replace(request, demand=Demand()))
    on_cluster = plan_cluster(target.cluster_file, request.demand, prices, work_s=found.work_s)
    print_dry_run(found, console, as_json=as_json, cluster=on_cluster)


def _launch_here(context: click.Context, request: "Request", console: Console, *, as_json: bool) -> None:
    from cluster.embedded import LostRayError
    from tune.commands.results import print_results, results_as_plain
    from tune.launcher import driver

    signal.signal(signal.SIGTERM, _interrupt)
    # In the background of a script it may have been ignored, and `dgad-tune stop` sends it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with reserve_stdout():
            folder, summary = driver.launch(request, console)
    except KeyboardInterrupt:
        click.echo(f"Stopped; everything {_describe_what_is_kept(request)}", err=True)
        context.exit(130)
    except LostRayError as error:
        click.echo(f"Failed: {error} Everything {_describe_what_is_kept(request)}", err=True)
        sys.stderr.flush()
        os._exit(1)  # at once: what Ray does at the end of a process would wait for the dead
    if as_json:
        click.echo(json.dumps(results_as_plain(folder, summary), indent=2, allow_nan=False))
    else:
        print_results(folder, summary, console)


def _describe_what_is_kept(request: "Request") -> str:
    from tune.launcher.request import resolve_study

    name, runs = resolve_study(request)[0].name, request.runs.location
    again = f"dgad-tune launch --name {name}" + ("" if runs == DEFAULT else f" --runs {runs}")
    return f"finished is kept in {runs}/{name}. To go on: {again}"


def _check_remote_options(
    target: ClusterTarget | None, *, detach: bool, down_after: bool, prices: tuple[str, ...]
) -> None:
    wanted = {"--detach": detach, "--down-after": down_after, "--price": bool(prices)}
    named = [option for option, is_given in wanted.items() if is_given]
    if named and (target is None or (target.file is None and named != ["--detach"])):
        raise SettingsError(f"{named[-1]} is for a study on a cluster: give --cluster FILE too.")
    if detach and down_after:
        raise SettingsError(
            "--detach comes back before the study is done, --down-after waits: give one of them."
        )


def _interrupt(signum: int, frame: object) -> None:
    """A polite kill is a Ctrl-C."""
    raise KeyboardInterrupt
