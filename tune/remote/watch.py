"""`status | logs | stop | list | down` of studies that run on another Ray: found by name through its jobs."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from cluster.file.config_file import ClusterFile
from cluster.hosts.leftovers import Survivor
from cluster.hosts.lifecycle import find_head, find_living, take_down
from cluster.jobs.named_jobs import JobState
from cluster.target import ClusterTarget
from dgad.errors import ClusterError, SettingsError, UnreachableError
from dgad.settings import from_dict
from tune.monitoring.status_view import print_status
from tune.remote.fetch_results import fetch_results
from tune.remote.session import RUNS_KEY, ConnectedCluster, connect_to_cluster, run_on_head
from tune.run_folder.status import StudyStatus

_STOP_TIMEOUT_S = 90.0
"""A job gets 60 s to end by itself."""


def print_remote_status(target: ClusterTarget, name: str, runs: str | None, *, as_json: bool) -> None:
    """Print what `dgad-tune status` says on the head, and what the cluster says of the job."""
    with connect_to_cluster(target, report=_silent) as cluster:
        job = cluster.jobs.find(name)
        _require_known(cluster, job, name, runs, target)
        values = json.loads(run_on_head(cluster, job, ["status", name, "--json"], runs))
    if as_json:
        click.echo(json.dumps({**values, "job": _plain(job)}, indent=2))
        return
    click.echo(_job_line(job))
    known = {field.name for field in dataclasses.fields(StudyStatus)}
    print_status(
        from_dict(StudyStatus, {k: v for k, v in values.items() if k in known}),
        dashboard=target.address or f"dgad-tune cluster dashboard {target.file}",
        again=target.option,
    )


def read_remote_logs(target: ClusterTarget, name: str, *, follow: bool) -> Iterator[str]:
    """Read what the study's job printed; with `follow` until the job ends."""
    with connect_to_cluster(target, report=_silent) as cluster:
        _require_known(cluster, cluster.jobs.find(name), name, None, target)
        if follow:
            yield from cluster.jobs.follow(name)
        else:
            yield cluster.jobs.read_log(name)


def stop_remote_study(target: ClusterTarget, name: str, timeout_s: float) -> str:
    """Stop a study's job, and say how to go on; everything finished is kept."""
    with connect_to_cluster(target, report=_silent) as cluster:
        job = cluster.jobs.find(name)
        _require_known(cluster, job, name, None, target)
        assert job is not None
        if job.has_ended:
            raise SettingsError(f"The study `{name}` is not running: its job is {job.status}.")
        if not cluster.jobs.stop(name, timeout_s):
            raise ClusterError(
                f"The study `{name}` was told to stop, but still runs after {timeout_s:g} s: look again."
            )
        return (
            f"Stopped; everything finished is kept in {job.metadata.get(RUNS_KEY)}. To go on:"
            f" dgad-tune launch --name {name} --runs {job.metadata.get(RUNS_KEY)} {target.option}"
        )


def describe_remote_studies(target: ClusterTarget, runs: str | None, *, as_json: bool) -> str:
    """List every study that was sent to the cluster, and what is kept where they are."""
    with connect_to_cluster(target, report=_silent) as cluster:
        jobs = cluster.jobs.list_jobs(RUNS_KEY)
        places = [runs] if runs else sorted({j.metadata[RUNS_KEY] for j in jobs})
        if as_json:
            studies = [
                s
                for p in places
                for s in json.loads(run_on_head(cluster, None, ["list", "--json"], p))["studies"]
            ]
            return json.dumps({"studies": studies, "jobs": [_plain(j) for j in jobs]}, indent=2)
        if not places:
            return f"No study was sent to this cluster; `dgad-tune launch {target.option}` sends one."
        told = [f"{p}\n{run_on_head(cluster, None, ['list'], p).rstrip()}" for p in places]
        return "\n".join([*map(_job_line, jobs), *told])


def take_cluster_down(
    target: ClusterTarget,
    names: tuple[str, ...],
    results: Path,
    *,
    force: bool,
    report: Callable[[str], None],
) -> tuple[Survivor, ...]:
    """Bring results here, stop every host, and return what still lives."""
    if target.file is None:
        raise SettingsError(
            "--address names a Ray that somebody else began: stop it there, or name its --cluster."
        )
    file = target.cluster_file
    if _answers(file, force=force, report=report):
        with connect_to_cluster(target, report=report) as cluster:
            jobs = cluster.jobs.list_jobs(RUNS_KEY)
            running = [j.name for j in jobs if not j.has_ended]
            if running and not force:
                raise SettingsError(
                    f"{', '.join(running)} still runs on this cluster: wait, stop it with `dgad-tune stop"
                    f" {running[0]} {target.option}`, or give --force, which loses nothing that is finished."
                )
            for name in running:
                report(f"Stopping {name}.")
                cluster.jobs.stop(name, _STOP_TIMEOUT_S)
            for job in jobs:
                if not names or job.name in names:
                    fetch_results(file, job.metadata[RUNS_KEY], job.name, results, report=report)
    return take_down(file, report=report)


def _answers(file: ClusterFile, *, force: bool, report: Callable[[str], None]) -> bool:
    """Whether the head can be asked for results; `SettingsError` where taking it down could lose some."""
    try:
        if find_head(file) is not None:
            return True
        # Hosts that stand there keep their disks; a provider's machines end with theirs.
        could_lose = not file.standing_hosts and bool(find_living(file))
        why = f"Ray does not run on the head of {file.name}"
    except UnreachableError as error:
        could_lose, why = True, str(error).rstrip(".")
    if could_lose and not force:
        raise SettingsError(
            f"{why}, so nothing that lies on its disk can be brought here first: mend that, or take the"
            " cluster down without it by --force."
        )
    report(f"{why}: no results are brought from it.")
    return False


def _require_known(
    cluster: ConnectedCluster, job: JobState | None, name: str, runs: str | None, target: ClusterTarget
) -> None:
    if job is None and runs is None:
        known = ", ".join(j.name for j in cluster.jobs.list_jobs(RUNS_KEY)) or "none"
        raise SettingsError(
            f"No study `{name}` was sent to this cluster since it is up (there: {known}); for one of before"
            f" name where it is kept with --runs, or go on with `dgad-tune launch --name {name}"
            f" {target.option}`."
        )


def _job_line(job: JobState | None) -> str:
    if job is None:
        return "Job: none since the cluster is up"
    began = f", begun {job.started_at:%Y-%m-%d %H:%M:%S} UTC" if job.started_at else ""
    ended = f", ended {job.ended_at:%H:%M:%S}" if job.ended_at else ""
    why = f" ({' '.join(job.message.split())[:300]})" if job.status == "failed" else ""
    return f"Job {job.submission_id}: {job.status}{why}{began}{ended}"


def _plain(job: JobState | None) -> dict[str, Any] | None:
    if job is None:
        return None
    return {
        "name": job.name,
        "status": job.status,
        "message": job.message,
        "job_id": job.submission_id,
        "started_at": job.started_at.isoformat() if job.started_at else None,
        "ended_at": job.ended_at.isoformat() if job.ended_at else None,
        "runs": job.metadata.get(RUNS_KEY),
    }


def _silent(text: str) -> None:
    """Nobody is waiting for a cluster to come up."""
