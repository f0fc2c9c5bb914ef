"""`dgad-serve deploy`: put a service on a cluster that runs."""

import dataclasses
import json

import click

from serve.commands.options import settings_options
from serve.operate.target import ServiceTarget, add_target_options
from serve.settings import ServeSettings

EXAMPLE = """\b
Example:
  dgad-serve deploy --cluster cluster.yaml --bundle runs/demo/bundle --store s3://bucket/references
"""


@click.command("deploy", epilog=EXAMPLE)
@settings_options
@add_target_options(local=False)
@click.option("--python", help="Python on its hosts  [default: beside the `ray` that FILE starts]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def deploy_command(settings: ServeSettings, target: ServiceTarget, as_json: bool) -> None:
    """Put a service on a cluster that runs; on one that has a service already, its bundle is rolled out.

    This installation's code and the bundle are shipped to every node. The store must be one that all nodes
    share. The service listens on loopback of the head unless --host says otherwise.
    """
    from serve.operate.deploy import deploy
    from serve.operate.target import connect_to_service

    def report(text: str) -> None:
        click.echo(text, err=True)

    with connect_to_service(target) as there:
        done = deploy(there, settings, report=report)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(done)))
        return
    click.echo(f"The service runs: bundle {done.bundle_id}, port {done.port}, listening on {done.host}.")
    click.echo(f"Key: {done.key_sentence}")
    click.echo(f"To look: dgad-serve status{target.option}   to end it: dgad-serve down{target.option}")
