"""Options that commands on a kept study share, and the study they name."""

from pathlib import Path

import click

from tune.run_folder.location import DEFAULT, Runs
from tune.run_folder.status import find_study_folder

runs_option = click.option(
    "--runs",
    help="Where studies are kept: a folder or a URI  [default: runs; on a cluster where they were sent]",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on standard output."
)


def bring_study(runs: str | None, name: str) -> Path:
    """Bring a study up to date with what is kept at a URI, and return its folder.

    Raises `SettingsError`, which lists the studies there are, where it is not one of them.
    """
    kept = Runs(location=runs or DEFAULT)
    known = kept.names() if kept.is_remote else ()
    return find_study_folder(kept.view(*(n for n in known if n == name)), name, kept.location)
