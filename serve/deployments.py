"""`serve.deployments:build`: the application under the name in configs written before serve had packages.

Such a config, and a RayService made from an older template, deploys as before; new ones name
`serve.replicas.deployments:build`.
"""

from serve.replicas.deployments import build

__all__ = ["build"]
