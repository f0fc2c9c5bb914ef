"""`dgad-tune`: search settings for unseen surfaces, honestly, on Ray."""

import click

from dgad.command_line import run_group
from tune.commands.audit import audit_command
from tune.commands.cluster import cluster_group
from tune.commands.down import down_command
from tune.commands.launch import EXAMPLE, launch_command
from tune.commands.report import compare_command, report_command
from tune.commands.space import space_command
from tune.commands.watch import list_command, logs_command, status_command, stop_command


@click.group(epilog=EXAMPLE, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dgad")
def cli() -> None:
    """Search methods and settings for surfaces that nobody has labelled."""


_COMMANDS = (
    launch_command,
    list_command,
    status_command,
    logs_command,
    stop_command,
    report_command,
    compare_command,
    audit_command,
    space_command,
    down_command,
    cluster_group,
)
for _command in _COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """Run the program `dgad-tune`; leaves with its exit code."""
    run_group(cli)


if __name__ == "__main__":
    main()
