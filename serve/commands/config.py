"""`dgad-serve config`: print the Serve config of a service."""

import click

from serve.commands.options import settings_options
from serve.settings import ServeSettings

EXAMPLE = """\b
Example:
  dgad-serve config --bundle /shared/bundle --store s3://bucket/references > service.yaml
  serve deploy service.yaml
"""


@click.command("config", epilog=EXAMPLE)
@settings_options
def config_command(settings: ServeSettings) -> None:
    """Print the Serve config of a service, for `serve deploy` or KubeRay's RayService."""
    from serve.engine.bundle import check_bundle
    from serve.replicas.config import as_yaml, service_config

    bundle_id = check_bundle(settings.bundle).bundle_id
    click.echo(as_yaml(service_config(settings, bundle_id=bundle_id)), nl=False)
