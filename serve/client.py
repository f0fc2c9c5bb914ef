"""`serve.client.Client`: the client of the service under the name that it had before serve had packages."""

from serve.api.client import Client

__all__ = ["Client"]
