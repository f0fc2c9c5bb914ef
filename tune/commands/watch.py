"""`dgad-tune list | status | logs | stop`: a study watched and stopped from another terminal or machine."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from cluster.target import ClusterTarget, cluster_options
from dgad.errors import DgadError, SettingsError
from tune.monitoring.launch_log import LOG_FILE
from tune.monitoring.progress import clock
from tune.run_folder.location import DEFAULT, Runs
from tune.run_folder.mirror import INTERVAL_S
from tune.run_folder.process import Running, interrupt, is_alive, is_elsewhere
from tune.run_folder.status import StudyStatus, best_mean, known_studies, state_of, status, study_folder

_POLL_S = 0.3

runs_option = click.option(
    "--runs",
    help="Where studies are kept: a folder or a URI  [default: runs; on a cluster where they were sent]",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on standard output."
)


@click.command("list", epilog="\b\nExample:\n  dgad-tune list --runs runs\n")
@runs_option
@cluster_options()
@json_option
def list_command(*, runs: str | None, target: ClusterTarget | None, as_json: bool) -> None:
    """Every study: its state, how far it is, its best mean image AUROC on surfaces held out."""
    if target is not None:
        from tune.remote.watch import remote_list  # Ray takes seconds to import

        click.echo(remote_list(target, runs, as_json=as_json))
        return
    kept = Runs(location=runs or DEFAULT)
    folder = kept.view(*kept.names()) if kept.is_remote else kept.folder
    found = [(status(folder / name), best_mean(folder / name)) for name in known_studies(folder)]
    if as_json:
        rows = [{**_as_json(s), "best_mean_image_auroc": mean} for s, mean in found]
        click.echo(json.dumps({"studies": rows}, indent=2))
        return
    if not found:
        click.echo(f"No studies in {kept.location}; `dgad-tune launch` begins one.")
        return
    table = _table("study", "state", "trials", "best mean", "started (UTC)", "wall")
    for s, mean in found:
        table.add_row(
            s.name,
            _state(s),
            f"{s.done}/{s.planned}",
            _auroc(mean),
            s.started_at[:16].replace("T", " "),
            clock(s.elapsed_s),
        )
    _wide_console().print(table)


@click.command("status", epilog="\b\nExample:\n  dgad-tune status my_surfaces\n")
@click.argument("name")
@runs_option
@cluster_options()
@json_option
def status_command(*, name: str, runs: str | None, target: ClusterTarget | None, as_json: bool) -> None:
    """How far the study NAME is, cell by cell, and where its dashboard is."""
    if target is not None:
        from tune.remote.watch import remote_status  # Ray takes seconds to import

        remote_status(target, name, runs, as_json=as_json)
        return
    found = status(brought_study(runs, name))
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
@cluster_options()
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
@cluster_options()
def stop_command(*, name: str, timeout_s: float, runs: str | None, target: ClusterTarget | None) -> None:
    """Stop the study NAME, as Ctrl-C does; everything finished is kept, and the same name goes on."""
    if target is not None:
        from tune.remote.watch import remote_stop  # Ray takes seconds to import

        click.echo(remote_stop(target, name, timeout_s))
        return
    folder = brought_study(runs, name)
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


def print_status(found: StudyStatus, *, dashboard: str | None, again: str) -> None:
    """For a reader; `again` are the options by which a command finds the study."""
    console = _wide_console()
    for line in _head_lines(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if found.cells:
        table = _table("cell", "trials", "running", "stopped early", "failed", "best inner AUROC")
        for cell in found.cells:
            counts = (str(n) if n else "-" for n in (cell.running, cell.stopped, cell.failed))
            table.add_row(cell.name, f"{cell.done}/{cell.planned}", *counts, _auroc(cell.best))
        console.print(table)
    for line in _tail_lines(found, dashboard, again):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def brought_study(runs: str | None, name: str) -> Path:
    """The folder of a study, up to date with what is at a URI; `SettingsError` lists those there are."""
    kept = Runs(location=runs or DEFAULT)
    known = kept.names() if kept.is_remote else ()
    return study_folder(kept.view(*(n for n in known if n == name)), name, kept.location)


def _logs(runs: str | None, name: str, *, follow: bool) -> Iterator[str]:
    folder, kept = brought_study(runs, name), Runs(location=runs or DEFAULT)

    def goes_on() -> bool:
        if follow and kept.is_remote:
            time.sleep(INTERVAL_S)  # as often as it is written there
            kept.view(name)
        return follow and state_of(folder)[0] == "running"

    return log_lines(folder / LOG_FILE, goes_on=goes_on)


def _remote_logs(target: ClusterTarget, name: str, *, follow: bool) -> Iterator[str]:
    from tune.remote.watch import remote_logs  # Ray takes seconds to import

    return remote_logs(target, name, follow=follow)


def log_lines(path: Path, goes_on: Callable[[], bool]) -> Iterator[str]:
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
    state, _, running = state_of(folder)
    if running is None:
        go_on = f" To go on: {again}" if state != "finished" else ""
        raise SettingsError(f"The study `{name}` is not running: it is {state}.{go_on}")
    if is_elsewhere(running):
        raise SettingsError(
            f"The study `{name}` is run by process {running.pid} on the host {running.host}: stop it there."
            " If that host is gone there is nothing to stop, and launch goes on."
        )
    return running


def _head_lines(found: StudyStatus) -> Iterator[str]:
    reason = f" ({found.reason})" if found.reason else ""
    where = f" (process {found.process.pid} on {found.process.host})" if found.process else ""
    yield f"{found.name}: {found.state}{where}{reason}"
    if found.is_elsewhere:
        yield "That is another host, so whether it still runs cannot be told from here."
    left = found.search_left_s
    yield f"Elapsed {clock(found.elapsed_s)}" + (
        f", about {clock(left)} of the search to go" if left is not None else ""
    )


def _tail_lines(found: StudyStatus, dashboard: str | None, again: str) -> Iterator[str]:
    fits = found.fits
    yield f"Fits: {fits.computed} computed, {fits.shared} shared, {fits.failed} failed"
    if found.refits_planned:
        yield f"Refits and scorings on surfaces held out: {found.refits_done}/{found.refits_planned}"
    else:
        yield "Refits: none yet; selections are sealed when the search is over"
    if dashboard:
        yield f"Ray dashboard: {dashboard}"
    options = [*([again] if again else []), *(["-f"] if found.process else [])]
    yield " ".join(["Log: dgad-tune logs", found.name, *options])


def _state(found: StudyStatus) -> str:
    return f"{found.state} on {found.process.host}?" if found.is_elsewhere and found.process else found.state


def _as_json(found: StudyStatus) -> dict[str, Any]:
    return {**dataclasses.asdict(found), "trials_done": found.done, "trials_planned": found.planned}


def _auroc(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 or name == "state" else "right", no_wrap=True)
    return table


def _wide_console() -> Console:
    """In a pipe rich assumes 80 columns and would cut names."""
    console = Console()
    return console if console.is_terminal else Console(width=200)
