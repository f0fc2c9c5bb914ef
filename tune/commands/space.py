"""`dgad-tune space`: what the search of a method chooses from, for whoever writes a study file."""

import json
from pathlib import Path
from typing import Any

import click

from dgad.command_line import PlainConsole
from dgad.commands.options import feature_options
from tune.commands.options import json_option

_EXAMPLE = """\b
Examples:
  dgad-tune space comparer                      what is searched, and when
  dgad-tune space comparer --study study.yaml   as a study file narrows it
"""


@click.command("space", epilog=_EXAMPLE)
@click.argument("method")
@click.option(
    "--study",
    "study_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file of study settings, whose `spaces` narrow the method's.",
)
@click.option("--demo", is_flag=True, help="The smaller space of the demo.")
@feature_options
@json_option
def space_command(
    *, method: str, study_file: Path | None, demo: bool, as_json: bool, **features: Any
) -> None:
    """Show what the search of METHOD chooses from, and which presets it tries first."""
    from tune.commands.space_report import describe_space, print_space  # torch takes seconds to import

    report = describe_space(method, study_file, demo=demo, given=features)
    if as_json:
        click.echo(json.dumps(report.as_plain(), indent=2))
    else:
        print_space(report, PlainConsole())
