"""`dgad-serve region`: look at a part of a domain's photographs only, or at all of them again."""

import click

from dgad.domains.domain_file import read_region
from dgad.errors import SettingsError
from serve.commands.client import open_client, print_json, service_options, to_plain

_EXAMPLE = """\b
Example:
  dgad-serve region carpet inside.json     {"polygons": [[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]]}
  dgad-serve region carpet --clear
"""


@click.command("region", epilog=_EXAMPLE)
@click.argument("domain")
@click.argument("file", required=False)
@click.option("--clear", is_flag=True, help="Look at all of every photograph again.")
@service_options
def region_command(*, domain: str, file: str | None, clear: bool, url: str, as_json: bool) -> None:
    """Look only inside of the region in FILE at photographs of DOMAIN: JSON with polygons, or a mask.

    Corners are fractions, 0 to 1, of a photograph's width and height; of a mask counts what is not black. It
    is a new version of the references, with a threshold of its own; `rollback` goes back.
    """
    if (file is None) != clear:
        raise SettingsError("Name either the FILE of a region of interest, or --clear.")
    region = None if file is None else read_region(file)
    with open_client(url) as client:
        answer = client.set_region(domain, region)
    if as_json:
        print_json(to_plain(answer))
        return
    looked_at = "all of every photograph" if region is None else "the region of interest only"
    click.echo(f"{domain}: version {answer.version} looks at {looked_at}.")
