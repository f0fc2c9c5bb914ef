"""`dgad`: domains, evaluation, scoring, bundles."""

import click

from dgad.command_line import LazyCommands, run_group

_EXAMPLE = """\b
Example:
  dgad domains synthesize demo
  dgad evaluate --data demo --target woven
"""
_COMMANDS = LazyCommands(
    {
        "bundle": "dgad.commands.bundle:bundle",
        "domains": "dgad.commands.domains:domains",
        "evaluate": "dgad.commands.evaluate:evaluate_command",
        "pretrain": "dgad.commands.pretrain:pretrain_command",
        "score": "dgad.commands.score:score_command",
    }
)


@click.group(epilog=_EXAMPLE, context_settings={"help_option_names": ["-h", "--help"]}, commands=_COMMANDS)
@click.version_option(package_name="dgad")
def cli() -> None:
    """Compare textured surfaces with their normal references, on surfaces never trained on."""


def main() -> None:
    """Entry point of the script `dgad`."""
    run_group(cli)


if __name__ == "__main__":
    main()
