"""`dgad`: domains, evaluation, scoring, bundles."""

import click

from dgad.command_line import run_group
from dgad.commands.bundle import bundle
from dgad.commands.domains import domains
from dgad.commands.evaluate import evaluate_command
from dgad.commands.pretrain import pretrain_command
from dgad.commands.score import score_command

EXAMPLE = """\b
Example:
  dgad domains synthesize demo
  dgad evaluate --data demo --target woven
"""


@click.group(epilog=EXAMPLE, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dgad")
def cli() -> None:
    """Compare textured surfaces with their normal references, on surfaces never trained on."""


cli.add_command(domains)
cli.add_command(evaluate_command)
cli.add_command(score_command)
cli.add_command(bundle)
cli.add_command(pretrain_command)


def main() -> None:
    """Entry point of the script `dgad`."""
    run_group(cli)
