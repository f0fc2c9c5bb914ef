"""`dgad-serve check`: whether a bundle can be served, before anything starts."""

import json

import click

EXAMPLE = """\b
Example:
  dgad-serve check --bundle runs/demo/bundle
"""


@click.command("check", epilog=EXAMPLE)
@click.option("--bundle", "bundle_folder", required=True, help="A bundle folder, such as runs/NAME/bundle.")
@click.option("--device", default="auto", show_default=True, help="auto | cpu | cuda | cuda:N")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check_command(bundle_folder: str, device: str, as_json: bool) -> None:
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
