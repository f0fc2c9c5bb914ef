"""`dgad-serve rollout` and `dgad-serve embed`."""

import json

import click

from serve.commands.options import DEFAULT_STORE, make_absolute
from serve.operate.target import ServiceTarget, add_target_options

EXAMPLE = """\b
Example:
  dgad-serve rollout --bundle runs/demo2/bundle
"""
_EMBED_EXAMPLE = """\b
Example:
  dgad-serve embed --bundle runs/demo2/bundle --store references
"""


@click.command("rollout", epilog=EXAMPLE)
@click.option("--bundle", required=True, help="Folder or URI of the new bundle.")
@add_target_options(local=True)
@click.option("--python", help="Python on a cluster's hosts.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def rollout_command(bundle: str, target: ServiceTarget, as_json: bool) -> None:
    """Let a running service use a new bundle, without a request lost.

    Every store is embedded with it first, in the background; then new scorers begin beside the old ones.
    """
    from serve.engine.bundle import check_bundle
    from serve.operate.rollout import roll_out
    from serve.operate.target import connect_to_service

    check_bundle(make_absolute(bundle))
    with connect_to_service(target) as there:
        info = roll_out(there, make_absolute(bundle), report=lambda text: click.echo(text, err=True))
    if as_json:
        click.echo(json.dumps({"bundle_id": info.bundle_id, "method": info.method}))
    else:
        click.echo(f"The service uses {info.bundle_id} ({info.method}).")


@click.command("embed", epilog=_EMBED_EXAMPLE)
@click.option("--bundle", required=True, help="Folder or URI of the bundle.")
@click.option(
    "--store", default=DEFAULT_STORE, show_default=True, help="Folder or URI of the reference stores."
)
@click.option("--device", default="auto", show_default=True, help="auto | cpu | cuda")
def embed_command(bundle: str, store: str, device: str) -> None:
    """Embed every domain of a store with a bundle, so that a service that starts with it has nothing to do.

    Prints how many were missing. A roll-out does this by itself.
    """
    from serve.engine.bundle import check_bundle
    from serve.operate.rollout import embed_all
    from serve.settings import ServeSettings

    check_bundle(bundle)
    # Left as given: a job on a cluster names the bundle that was shipped with it.
    click.echo(embed_all(ServeSettings(bundle=bundle, store=store, device=device)))
