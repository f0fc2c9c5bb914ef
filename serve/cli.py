"""`dgad-serve`: serve a bundle over HTTP, and ask a service."""

import click

from dgad.command_line import run_group
from serve.commands.check import check_command
from serve.commands.client import domains_command, enroll_command, score_command
from serve.commands.config import config_command
from serve.commands.deploy import deploy_command
from serve.commands.down import down_command
from serve.commands.keys import keys_group
from serve.commands.region import region_command
from serve.commands.rollout import embed_command, rollout_command
from serve.commands.status import status_command
from serve.commands.up import up_command

EXAMPLE = """\b
Example:
  dgad-serve up --bundle runs/demo/bundle --store references
"""


@click.group(epilog=EXAMPLE, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dgad")
def cli() -> None:
    """Serve a bundle over HTTP: enrol a surface with a few photographs, score parts a minute later."""


for _command in (
    up_command,
    status_command,
    rollout_command,
    down_command,
    config_command,
    deploy_command,
    embed_command,
    check_command,
    domains_command,
    enroll_command,
    region_command,
    score_command,
    keys_group,
):
    cli.add_command(_command)


def main() -> None:
    """Entry point of the script `dgad-serve`."""
    run_group(cli)


if __name__ == "__main__":
    main()
