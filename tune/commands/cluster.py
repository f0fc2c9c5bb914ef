"""`dgad-tune cluster init | check | dashboard`: the file of a cluster, and the way to its dashboard."""

import dataclasses
import json
import threading
from collections.abc import Sequence
from pathlib import Path

import click

from cluster.checks.findings import Finding, TrialDemand
from cluster.file.template_files import TEMPLATES, render_template
from cluster.target import ClusterTarget
from dgad.errors import SettingsError
from dgad.files import name_in_errors

_INIT_EXAMPLE = "\b\nTemplates:\n" + "".join(f"  {name:<12}{use}\n" for name, use in TEMPLATES.items())
_INIT_EXAMPLE += "\n\b\nExample:\n  dgad-tune cluster init on-prem --output cluster.yaml\n"
_CHECK_EXAMPLE = """\b
Examples:
  dgad-tune cluster check cluster.yaml
  dgad-tune cluster check cluster.yaml --cpus-per-trial 4 --gpus-per-trial 0.25
"""
_GROUP_EXAMPLE = """\b
Examples:
  dgad-tune cluster init on-prem --output cluster.yaml
  dgad-tune cluster check cluster.yaml
  dgad-tune cluster dashboard cluster.yaml
"""
_DASHBOARD_EXAMPLE = "\b\nExample:\n  dgad-tune cluster dashboard cluster.yaml\n"


@click.group("cluster", epilog=_GROUP_EXAMPLE)
def cluster_group() -> None:
    """Write and check the file of a cluster, and reach its dashboard."""


@cluster_group.command("init", epilog=_INIT_EXAMPLE)
@click.argument("name")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write  [default: NAME.yaml]"
)
def _init_command(*, name: str, output: Path | None) -> None:
    """Write the template NAME, commented, with places to fill in; a file that is there is kept."""
    text = render_template(name)
    path = output or Path(f"{name}.yaml")
    try:
        with name_in_errors(path), path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SettingsError(
            f"{path} exists already: name another file with --output, or remove it."
        ) from None
    except OSError:
        path.unlink(missing_ok=True)  # half a file would be in the way of the next
        raise
    click.echo(f"Wrote {path}. Put in what stands in <ANGLE_BRACKETS>, then: dgad-tune cluster check {path}")


@cluster_group.command("dashboard", epilog=_DASHBOARD_EXAMPLE)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_context
def _dashboard_command(context: click.Context, *, file: Path) -> None:
    """Hold the dashboard of a running cluster on a port of this machine until Ctrl-C."""
    from cluster.tokens import read_token
    from tune.remote.session import connect_to_cluster  # Ray takes seconds to import

    with connect_to_cluster(ClusterTarget(file=file), report=click.echo) as cluster:
        token = read_token()
        where = f"the token in {token.source}" if token else "a token, and there is none here"
        said = f"Ray dashboard: {cluster.dashboard_url} (it asks for {where}). Ctrl-C ends the tunnel."
        try:
            click.echo(said)  # who has read it may press Ctrl-C at once
            threading.Event().wait()
        except KeyboardInterrupt:
            context.exit(0)


@cluster_group.command("check", epilog=_CHECK_EXAMPLE)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--cpus-per-trial", type=int, default=1, show_default=True, help="Cores of each fit.")
@click.option(
    "--gpus-per-trial", type=float, default=0.0, show_default=True, help="GPUs of each fit; 0.25 shares one."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@click.pass_context
def _check_command(
    context: click.Context, *, file: Path, cpus_per_trial: int, gpus_per_trial: float, as_json: bool
) -> None:
    """Check FILE before anything starts: schema, keys, token, dashboard, trials; exits 2 on an error.

    What only the started cluster can tell is named as unverified.
    """
    from cluster.checks.cluster_file import check_cluster, has_errors  # jsonschema takes a moment to import
    from cluster.checks.kuberay import check_kuberay, is_kuberay, read_kuberay_file
    from cluster.file.config_file import read_cluster_file

    demand = TrialDemand(cpus=cpus_per_trial, gpus=gpus_per_trial)
    if is_kuberay(file):
        findings = check_kuberay(read_kuberay_file(file), demand)
    else:
        findings = check_cluster(read_cluster_file(file), demand)
    failed = has_errors(findings)
    if as_json:
        rows = [dataclasses.asdict(f) for f in findings]
        click.echo(json.dumps({"file": str(file), "ok": not failed, "findings": rows}, indent=2))
    else:
        _print_findings(file, findings)
    context.exit(2 if failed else 0)


def _print_findings(file: Path, findings: Sequence[Finding]) -> None:
    for finding in findings:
        place = f"line {finding.line}: " if finding.line else ""
        click.echo(f"{finding.severity:<11}{place}{finding.message}")
    numbers = {kind: sum(f.severity == kind for f in findings) for kind in ("error", "warning", "unverified")}
    click.echo(
        f"{file}: {_count(numbers['error'], 'error')}, {_count(numbers['warning'], 'warning')},"
        f" {_count(numbers['unverified'], 'thing')} that only the started cluster can tell."
    )


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'s' if number > 1 else ''}"
