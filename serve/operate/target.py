"""Where a service runs: on this machine, or on the Ray that `--cluster` or `--address` names."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cluster.target import ClusterTarget, add_cluster_options, connect_to_dashboard
from cluster.tokens import Token
from dgad.errors import SettingsError
from serve.operate.registry import RegisteredService, find_service

if TYPE_CHECKING:
    from serve.operate.serve_api import ServeApi


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ServiceTarget:
    """Where a command's service runs: on this machine, or on the Ray of `cluster`."""

    cluster: ClusterTarget | None = None
    """None: this machine."""
    port: int | None = None
    """Of a service on this machine, where several run."""

    @property
    def is_local(self) -> bool:
        """Whether it is what `dgad-serve up` runs here."""
        return self.cluster is None

    @property
    def option(self) -> str:
        """How a command names it again, with a space in front; empty where nothing need be named."""
        if self.cluster is not None:
            return f" {self.cluster.option}"
        return f" --port {self.port}" if self.port else ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ConnectedService:
    """A Ray whose dashboard answers, and the service that a command means there."""

    api: "ServeApi"
    url: str
    """Of the dashboard, as this machine reaches it while the command runs."""
    token: Token | None
    python: str
    """On its hosts."""
    running: RegisteredService | None
    """What `up` noted, on this machine."""


def add_target_options(*, local: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add options that name a Ray and, with `local`, a service here by port; the command gets `target`."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        @add_cluster_options(has_python=False)
        @functools.wraps(function)
        def with_target(*args: Any, target: ClusterTarget | None, **others: Any) -> Any:
            port = others.pop("port", None) if local else None
            python = others.pop("python", None)
            if not local and target is None:
                raise SettingsError(
                    "Name the Ray to deploy on with --cluster FILE or --address URL; `dgad-serve up` runs one"
                    " on this machine."
                )
            if target is not None:
                target = dataclasses.replace(target, python=python)
            return function(*args, target=ServiceTarget(cluster=target, port=port), **others)

        if local:
            return click.option("--port", type=int, help="Which one, where several run on this machine.")(
                with_target
            )
        return with_target

    return add


@contextlib.contextmanager
def connect_to_service(target: ServiceTarget) -> Iterator[ConnectedService]:
    """Connect to the Ray of the target, by a tunnel where a cluster file says how.

    Raises `SettingsError` where no service, or no cluster, is up.
    """
    from serve.replicas.environment import prepare_serve_environment

    prepare_serve_environment()
    from serve.operate.serve_api import ServeApi

    if target.cluster is None:
        service = find_service(target.port)
        own = Token(value=Path(service.token_file).read_text().strip(), source=service.token_file)
        api = ServeApi(service.dashboard_url, own)
        yield ConnectedService(
            api=api, url=service.dashboard_url, token=own, python="python", running=service
        )
        return
    begin = f"bring it up with `ray up {target.cluster.file}` first."
    with connect_to_dashboard(target.cluster, how_to_start=begin) as there:
        api = ServeApi(there.url, there.token)
        yield ConnectedService(api=api, url=there.url, token=there.token, python=there.python, running=None)
