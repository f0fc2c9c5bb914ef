"""`dgad-tune launch --cluster FILE | --address URL`: bring up, ship, submit, follow, and come back to it."""

from pathlib import Path

import click
from rich.console import Console

from cluster.checks.cluster_file import check_cluster
from cluster.checks.findings import Finding, TrialDemand
from cluster.target import ClusterTarget
from dgad.errors import ClusterError, SettingsError
from tune.launcher.request import Request
from tune.remote.session import ConnectedCluster, check_shared, connect_to_cluster, run_on_head, submit
from tune.remote.watch import take_cluster_down
from tune.study.settings import make_study

_EXIT_CODES = {"succeeded": 0, "stopped": 130}
_USER_ERROR, _OUR_ERROR = 2, 1
_RESULT_TIMEOUT_S = 1800.0
"""The head reads all of the study's data first, to see that it is still what the study was made of."""


def launch_remote(
    target: ClusterTarget,
    request: Request,
    console: Console,
    *,
    detach: bool,
    down_after: Path | None,
    as_json: bool,
) -> int:
    """Send the study to a cluster and follow it; the exit code of its outcome, 0 once detached.

    A study of this name that runs there already is followed, not sent again. `down_after` names where
    results are brought before the cluster is taken down.
    """
    runs = request.runs.location
    check_shared(request)
    name = make_study(request.given_study()).name
    _check_file(target, request, console)

    def report(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    with connect_to_cluster(target, report=report, starts_it=True) as cluster:
        job = cluster.jobs.find(name)
        if job is not None and not job.has_ended:
            report(f"The study `{name}` runs there already.")
        else:
            submit(cluster, request)
        report(f"Job {name}. Ray dashboard: {cluster.dashboard_url} (it asks for your Ray token)")
        again = f"dgad-tune logs {name} -f {target.option}"
        if detach:
            report(f"Sent. To watch: {again}")
            return 0
        try:
            for line in cluster.jobs.follow(name):
                report(line.rstrip("\n"))
        except KeyboardInterrupt:
            report(
                f"Detached; the study goes on. To watch: {again}\nTo stop it: dgad-tune stop {name}"
                f" {target.option}"
            )
            return 0
        code = _outcome(cluster, name, runs, as_json=as_json)
    if down_after is not None:
        if code != 0:
            report(f"The study did not finish, so the cluster stays up: dgad-tune down {target.option}")
            return code
        left = take_cluster_down(target, (name,), down_after, force=False, report=report)
        for survivor in left:
            report(f"Still there: {survivor.host}: {survivor.details}")
        return _OUR_ERROR if left else code
    return code


def _check_file(target: ClusterTarget, request: Request, console: Console) -> None:
    """Raise `SettingsError` for a cluster file that would not do, with all that is wrong with it."""
    if target.file is None:
        return
    demand = TrialDemand(cpus=request.demand.cpus_per_trial or 1, gpus=request.demand.gpus_per_trial or 0.0)
    findings = check_cluster(target.cluster_file, demand)
    errors = [f for f in findings if f.severity == "error"]
    if errors:
        raise SettingsError("\n".join(_format_finding(target.file, f) for f in errors))
    for finding in findings:
        if finding.severity == "warning":
            console.print(
                f"Warning: {_format_finding(target.file, finding)}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def _format_finding(file: Path, finding: Finding) -> str:
    """Format a finding as one line: file, line, message."""
    return f"{file}{f', line {finding.line}' if finding.line else ''}: {finding.message}"


def _outcome(cluster: ConnectedCluster, name: str, runs: str, *, as_json: bool) -> int:
    job = cluster.jobs.find(name)
    if job is None:
        raise ClusterError(f"The job of `{name}` has gone from the cluster; its results are in {runs}.")
    if job.status == "succeeded" and as_json:
        again = ["launch", "--name", name, "--json"]
        click.echo(run_on_head(cluster, job, again, runs, timeout_s=_RESULT_TIMEOUT_S).rstrip())
    if job.status in _EXIT_CODES:
        return _EXIT_CODES[job.status]
    return _USER_ERROR if job.exit_code == _USER_ERROR else _OUR_ERROR
