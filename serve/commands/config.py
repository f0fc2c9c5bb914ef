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
    from serve.replicas.config import make_service_config, render_yaml

    bundle_id = check_bundle(settings.bundle).bundle_id
    click.echo(render_yaml(make_service_config(settings, bundle_id=bundle_id)), nl=False)
