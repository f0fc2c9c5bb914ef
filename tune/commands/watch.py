"""`dgad-tune list | status | logs | stop`: a study watched and stopped from another terminal or machine."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from cluster.target import ClusterTarget, add_cluster_options
from dgad.errors import DgadError, SettingsError
from tune.commands.options import bring_study, json_option, runs_option
from tune.monitoring.status_view import print_status, print_studies
from tune.run_folder.layout import LOG_FILE
from tune.run_folder.location import DEFAULT, Runs
from tune.run_folder.mirror import INTERVAL_S
from tune.run_folder.process import Running, interrupt, is_alive, is_elsewhere
from tune.run_folder.status import StudyStatus, list_studies, read_best_mean, read_state, read_status

_POLL_S = 0.3


@click.command("list", epilog="\b\nExample:\n  dgad-tune list --runs runs\n")
@runs_option
@add_cluster_options()
@json_option
def list_command(*, runs: str | None, target: ClusterTarget | None, as_json: bool) -> None:
    """Every study: its state, how far it is, its best mean image AUROC on surfaces held out."""
    if target is not None:
        from tune.remote.watch import describe_remote_studies  # Ray takes seconds to import

        click.echo(describe_remote_studies(target, runs, as_json=as_json))
        return
    kept = Runs(location=runs or DEFAULT)
    folder = kept.view(*kept.names()) if kept.is_remote else kept.folder
    found = [(read_status(folder / name), read_best_mean(folder / name)) for name in list_studies(folder)]
    if as_json:
        rows = [{**_as_json(s), "best_mean_image_auroc": mean} for s, mean in found]
        click.echo(json.dumps({"studies": rows}, indent=2))
        return
    if not found:
        click.echo(f"No studies in {kept.location}; `dgad-tune launch` begins one.")
        return
    print_studies(found)


@click.command("status", epilog="\b\nExample:\n  dgad-tune status my_surfaces\n")
@click.argument("name")
@runs_option
@add_cluster_options()
@json_option
def status_command(*, name: str, runs: str | None, target: ClusterTarget | None, as_json: bool) -> None:
    """How far the study NAME is, cell by cell, and where its dashboard is."""
    if target is not None:
        from tune.remote.watch import print_remote_status  # Ray takes seconds to import

        print_remote_status(target, name, runs, as_json=as_json)
        return
    found = read_status(bring_study(runs, name))
    if as_json:
        click.echo(json.dumps(_as_json(found), indent=2))
        return
    process = found.process
    again = f"--runs {runs}" if runs else ""
    print_status(found, dashboard=process.dashboard_url if process else None, again=again)


@click.command("logs", epilog="\b\nExample:\n  dgad-tune logs my_surfaces -f\n")
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until the study's run ends; Ctrl-C ends it sooner.")
@runs_option
@add_cluster_options()
@click.pass_context
def logs_command(
    context: click.Context, *, name: str, follow: bool, runs: str | None, target: ClusterTarget | None
) -> None:
    """What launch said of the study NAME: in all its runs, with UTC times; on a cluster in its last job."""
    try:
        for line in _remote_logs(target, name, follow=follow) if target else _logs(runs, name, follow=follow):
            click.echo(line, nl=False)
    except KeyboardInterrupt:
        context.exit(130)


@click.command("stop", epilog="\b\nExample:\n  dgad-tune stop my_surfaces\n")
@click.argument("name")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Seconds to wait until it has ended.",
)
@runs_option
@add_cluster_options()
def stop_command(*, name: str, timeout_s: float, runs: str | None, target: ClusterTarget | None) -> None:
    """Stop the study NAME, as Ctrl-C does; everything finished is kept, and the same name goes on."""
    if target is not None:
        from tune.remote.watch import stop_remote_study  # Ray takes seconds to import

        click.echo(stop_remote_study(target, name, timeout_s))
        return
    folder = bring_study(runs, name)
    again = f"dgad-tune launch --name {name}" + (f" --runs {runs}" if runs else "")
    process = _process_to_stop(folder, name, again)
    if interrupt(process):
        deadline = time.monotonic() + timeout_s
        while is_alive(process):
            if time.monotonic() >= deadline:
                raise DgadError(
                    f"The study `{name}` was asked to stop, but its process {process.pid} has not ended in"
                    f" {timeout_s:g} s: wait and look with `dgad-tune status {name}`, or end it with"
                    f" `kill -9 {process.pid}`, which loses nothing that is finished."
                )
            time.sleep(_POLL_S)
    click.echo(f"Stopped; everything finished is kept in {folder}. To go on: {again}")


def _logs(runs: str | None, name: str, *, follow: bool) -> Iterator[str]:
    folder, kept = bring_study(runs, name), Runs(location=runs or DEFAULT)

    def goes_on() -> bool:
        if follow and kept.is_remote:
            time.sleep(INTERVAL_S)  # as often as it is written there
            kept.view(name)
        return follow and read_state(folder)[0] == "running"

    return follow_lines(folder / LOG_FILE, goes_on=goes_on)


def _remote_logs(target: ClusterTarget, name: str, *, follow: bool) -> Iterator[str]:
    from tune.remote.watch import read_remote_logs  # Ray takes seconds to import

    return read_remote_logs(target, name, follow=follow)


def follow_lines(path: Path, goes_on: Callable[[], bool]) -> Iterator[str]:
    """Whole lines of a file that may grow, until it has no more and `goes_on` says that it will not."""
    kept = b""
    position = 0
    while True:
        is_last = not goes_on()  # asked before reading: what is written before the end is not missed
        if path.is_file():
            with open(path, "rb") as file:
                file.seek(position)
                kept += file.read()
                position = file.tell()
        *lines, kept = kept.split(b"\n")
        for line in lines:
            yield line.decode(errors="replace") + "\n"
        if is_last:
            return
        time.sleep(_POLL_S)


def _process_to_stop(folder: Path, name: str, again: str) -> Running:
    state, _, running = read_state(folder)
    if running is None:
        go_on = f" To go on: {again}" if state != "finished" else ""
        raise SettingsError(f"The study `{name}` is not running: it is {state}.{go_on}")
    if is_elsewhere(running):
        raise SettingsError(
            f"The study `{name}` is run by process {running.pid} on the host {running.host}: stop it there."
            " If that host is gone there is nothing to stop, and launch goes on."
        )
    return running


def _as_json(found: StudyStatus) -> dict[str, Any]:
    return {**dataclasses.asdict(found), "trials_done": found.done, "trials_planned": found.planned}
