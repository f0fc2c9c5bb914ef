"""`dgad-serve up`: start a service on this machine."""

import contextlib
import dataclasses
import json
import os
from typing import TYPE_CHECKING, TextIO

import click

from dgad.command_line import reserve_stdout
from serve.commands.options import settings_options
from serve.settings import ServeSettings

if TYPE_CHECKING:
    from serve.replicas.listener import Listener

EXAMPLE = """\b
Example:
  dgad-serve up --bundle runs/demo/bundle --store references
"""


@click.command("up", epilog=EXAMPLE)
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print where it runs as one line of JSON.")
def up_command(settings: ServeSettings, as_json: bool) -> None:
    """Serve a bundle from this machine until Ctrl-C or SIGTERM, which first finish what was begun.

    It listens on loopback and needs no key there unless the store has ever had one; with another --host every
    request needs one, and a first key is made and shown once.
    """
    from serve.replicas.listener import Listener

    # First of all, since torch takes seconds to import.
    with contextlib.closing(Listener(settings.host, settings.port)) as listener, reserve_stdout() as stdout:
        _serve(settings, listener, stdout, as_json)


def _serve(settings: ServeSettings, listener: "Listener", stdout: TextIO, as_json: bool) -> None:
    from cluster.embedded import LostRayError
    from serve.engine.bundle import check_bundle
    from serve.operate.first_key import make_first_key
    from serve.operate.local import Stopped, raise_on_signals, run_local_service

    def report(text: str) -> None:
        click.echo(text, err=True)

    info = check_bundle(settings.bundle)
    os.umask(0o077)  # what the service and its Ray write is nobody else's to read
    key = make_first_key(settings)
    settings = dataclasses.replace(settings, keys=key.rule)
    try:
        with (
            raise_on_signals(),
            run_local_service(settings, listener, bundle_id=info.bundle_id, report=report) as running,
        ):
            service = running.registered
            if as_json:
                told = {"url": service.url, "dashboard_url": service.dashboard_url, "key": key.value}
                told |= {"logs_folder": service.logs_folder, "bundle_id": info.bundle_id}
                click.echo(json.dumps({**told, "pid": service.pid}), file=stdout)
            else:
                click.echo(
                    f"Service    {service.url}    bundle {info.bundle_id}\n"
                    f"Page       {service.url}/\n"
                    f"API        {service.url}/docs\n"
                    f"Store      {settings.store}\n"
                    f"Logs       {service.logs_folder}/worker-*.err (a JSON line a request)\n"
                    f"Dashboard  {service.dashboard_url} (it asks for your Ray token: {service.token_file})\n"
                    f"Key        {key.sentence}",
                    file=stdout,
                )
            stdout.flush()
            running.watch()
    except Stopped:
        report("Stopped.")
    except LostRayError as error:
        report(f"Failed: {error}")
        stdout.flush()
        os._exit(1)  # at once: what Ray does at the end of a process would wait for the dead
