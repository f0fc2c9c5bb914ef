"""`dgad-serve down`: end a service, here or on a cluster."""

import time

import click

from serve.operate.target import ServiceTarget, add_target_options

EXAMPLE = """\b
Example:
  dgad-serve down
  dgad-serve down --address http://127.0.0.1:8265
"""
_POLL_S = 0.2


@click.command("down", epilog=EXAMPLE)
@add_target_options(local=True)
@click.option("--timeout", "timeout_s", default=120.0, show_default=True, help="Seconds to wait for its end.")
def down_command(target: ServiceTarget, timeout_s: float) -> None:
    """End a service once it has finished what it has begun; its stores stay as they are."""
    from dgad.errors import ClusterError, SettingsError
    from serve.operate.registry import find_service, is_alive, terminate
    from serve.operate.target import connect_to_service

    deadline = time.monotonic() + timeout_s
    if target.is_local:
        service = find_service(target.port)
        terminate(service)
        while is_alive(service):
            if time.monotonic() > deadline:
                raise ClusterError(f"The service (process {service.pid}) still drains after {timeout_s:g} s.")
            time.sleep(_POLL_S)
        click.echo(f"The service at {service.url} has ended.")
        return
    with connect_to_service(target) as there:
        if there.api.state() is None:
            raise SettingsError("No service is deployed there.")
        there.api.drain(timeout_s)
        there.api.delete()
        while there.api.state() is not None:
            if time.monotonic() > deadline:
                raise ClusterError(f"The service still drains after {timeout_s:g} s: look again.")
            time.sleep(_POLL_S)
    click.echo("The service has ended.")
