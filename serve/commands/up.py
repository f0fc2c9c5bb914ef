"""`dgad-serve up`."""

import dataclasses
import json
import signal

import click

from serve.commands.options import settings_options
from serve.settings import ServeSettings

EXAMPLE = """\b
Example:
  dgad-serve up --bundle runs/demo/bundle --store references
"""


@click.command("up", epilog=EXAMPLE)
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print where it runs as one line of JSON.")
def up_command(settings: ServeSettings, as_json: bool) -> None:
    """Serve a bundle from this machine until Ctrl-C or SIGTERM, which first finish what was begun.

    It listens on loopback and needs no key there; with another --host every request needs one, and a first
    key is made and shown once.
    """
    from serve.local_service import Stopped, check_free, local_service, stoppable

    settings = dataclasses.replace(settings, port=check_free(settings.host, settings.port))

    # Only then, since torch takes seconds to import.
    from serve.bundle_place import checked_bundle
    from serve.first_key import first_key

    def tell(text: str) -> None:
        click.echo(text, err=True)

    info = checked_bundle(settings.bundle)
    key = first_key(settings)
    try:
        with stoppable(), local_service(settings, bundle_id=info.bundle_id, tell=tell) as service:
            if as_json:
                told = {"url": service.url, "dashboard_url": service.dashboard_url, "key": key.value}
                click.echo(json.dumps({**told, "pid": service.pid, "bundle_id": info.bundle_id}))
            else:
                click.echo(
                    f"Service    {service.url}    bundle {info.bundle_id}\n"
                    f"Page       {service.url}/\n"
                    f"API        {service.url}/docs\n"
                    f"Store      {settings.store}\n"
                    f"Dashboard  {service.dashboard_url} (it asks for your Ray token: {service.token_file})\n"
                    f"Key        {key.sentence}"
                )
            while True:
                signal.pause()
    except Stopped:
        tell("Stopped.")
