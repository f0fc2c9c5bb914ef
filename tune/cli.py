"""`dgad-tune`: search settings for unseen surfaces, honestly, on Ray."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from dgad.command_line import run_group
from dgad.commands.options import feature_options
from tune.commands.cluster import cluster_group
from tune.commands.down import down_command
from tune.commands.launch import EXAMPLE, launch_command
from tune.commands.report import compare_command, report_command
from tune.commands.watch import (
    brought_study,
    json_option,
    list_command,
    logs_command,
    runs_option,
    status_command,
    stop_command,
)

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


@cli.command("audit", epilog=AUDIT_EXAMPLE)
@click.argument("name")
@runs_option
@json_option
@click.pass_context
def audit_command(context: click.Context, *, name: str, runs: str | None, as_json: bool) -> None:
    """Check that no cell of the study NAME saw a label of its target before its choice was sealed.

    Exits 1 where one did.
    """
    from tune.results.audit import audit  # torch takes seconds to import, and --help needs none of it

    found = audit(brought_study(runs, name))
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
    from tune.commands.space import print_space, space_report  # torch takes seconds to import

    report = space_report(method, study_file, demo=demo, given=features)
    if as_json:
        click.echo(json.dumps(report.as_plain(), indent=2))
    else:
        print_space(report, Console())


_COMMANDS = (
    launch_command,
    list_command,
    status_command,
    logs_command,
    stop_command,
    report_command,
    compare_command,
    down_command,
    cluster_group,
)
for _command in _COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """The program `dgad-tune`."""
    run_group(cli)


if __name__ == "__main__":
    main()
