"""`dgad-serve status`: say how a service is, here or on a cluster."""

import json

import click

from serve.operate.target import ServiceTarget, add_target_options

EXAMPLE = """\b
Example:
  dgad-serve status
  dgad-serve status --cluster cluster.yaml --json
"""


@click.command("status", epilog=EXAMPLE)
@add_target_options(local=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status_command(target: ServiceTarget, as_json: bool) -> None:
    """Say how a service is: the one on this machine, or a cluster's."""
    from dgad.errors import SettingsError
    from serve.operate.target import connect_to_service

    with connect_to_service(target) as there:
        state = there.api.state()
        running = there.running
    if state is None:
        raise SettingsError("No service is deployed there.")
    settings = state.settings
    values = {
        "status": state.status,
        "message": state.message,
        "url": running.url if running else None,
        "host": settings.host,
        "port": settings.port,
        "bundle_id": state.bundle_id,
        "bundle": settings.bundle,
        "store": settings.store,
        "replicas": state.replicas,
        "dashboard_url": running.dashboard_url if running else target.cluster and target.cluster.address,
        "pid": running.pid if running else None,
    }
    if as_json:
        click.echo(json.dumps(values, indent=2))
        return
    click.echo(f"{state.status}    {values['url'] or f'port {settings.port} of {settings.host}'}")
    click.echo(f"Bundle     {state.bundle_id}    {settings.bundle}")
    click.echo(f"Store      {settings.store}")
    for name, counts in sorted(state.replicas.items()):
        click.echo(f"{name:10} {', '.join(f'{count} {what.lower()}' for what, count in counts.items())}")
    if state.status != "RUNNING" and state.message:
        click.echo(state.message)
