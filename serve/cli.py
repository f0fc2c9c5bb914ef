"""`dgad-serve`."""

import json

import click

from dgad.command_line import run_group
from serve.commands.asking import domains_command, enroll_command, score_command

EXAMPLE = """\b
Example:
  dgad-serve check --bundle runs/demo/bundle
"""


@click.group(epilog=EXAMPLE, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dgad")
def cli() -> None:
    """Serve a bundle. This version checks bundles; the HTTP service is not part of it yet."""


@cli.command("check", epilog=EXAMPLE)
@click.option("--bundle", "bundle_folder", required=True, help="A bundle folder, such as runs/NAME/bundle.")
@click.option("--device", default="auto", show_default=True, help="auto | cpu | cuda | cuda:N")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(bundle_folder: str, device: str, as_json: bool) -> None:
    """Check every checksum of a bundle and load its method, as a server would before its first request."""
    # torch takes seconds to import, and --help needs none of it
    from dgad.bundle import load_method, read_bundle
    from dgad.device import resolve_device

    info = read_bundle(bundle_folder)
    method = load_method(bundle_folder, resolve_device(device))
    if as_json:
        click.echo(json.dumps({"bundle_id": info.bundle_id, "method": method.name, "servable": True}))
    else:
        click.echo(
            f"{bundle_folder}: {method.title}, bundle {info.bundle_id}; every checksum holds, it loads."
        )


for _command in (domains_command, enroll_command, score_command):
    cli.add_command(_command)


def main() -> None:
    """Entry point of the script `dgad-serve`."""
    run_group(cli)
