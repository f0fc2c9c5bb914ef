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
from serve.operate.registry import Running, the_service

if TYPE_CHECKING:
    from serve.operate.serve_api import ServeApi


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ServicePlace:
    """Where a command's service runs: on this machine, or on the Ray of `target`."""

    target: ClusterTarget | None = None
    """None: this machine."""
    port: int | None = None
    """Of a service on this machine, where several run."""

    @property
    def is_local(self) -> bool:
        """Whether it is what `dgad-serve up` runs here."""
        return self.target is None

    @property
    def option(self) -> str:
        """How a command names it again, with a space in front; empty where nothing need be named."""
        if self.target is not None:
            return f" {self.target.option}"
        return f" --port {self.port}" if self.port else ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Reached:
    """A Ray whose dashboard answers."""

    api: "ServeApi"
    url: str
    """Of the dashboard, as this machine reaches it while the command runs."""
    token: Token | None
    python: str
    """On its hosts."""
    running: Running | None
    """What `up` noted, on this machine."""


def place_options(*, local: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options that name a Ray and, with `local`, a service here by its --port; the command gets `place`."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        @add_cluster_options(has_python=False)
        @functools.wraps(function)
        def with_place(*args: Any, target: ClusterTarget | None, **others: Any) -> Any:
            port = others.pop("port", None) if local else None
            python = others.pop("python", None)
            if not local and target is None:
                raise SettingsError(
                    "Name the Ray to deploy on with --cluster FILE or --address URL; `dgad-serve up` runs one"
                    " on this machine."
                )
            if target is not None:
                target = dataclasses.replace(target, python=python)
            return function(*args, place=ServicePlace(target=target, port=port), **others)

        if local:
            return click.option("--port", type=int, help="Which one, where several run on this machine.")(
                with_place
            )
        return with_place

    return add


@contextlib.contextmanager
def reached(place: ServicePlace) -> Iterator[Reached]:
    """The Ray of the place, by a tunnel where a cluster file says how; `SettingsError` where none is."""
    from serve.replicas.environment import prepare_serve_environment

    prepare_serve_environment()
    from serve.operate.serve_api import ServeApi

    if place.target is None:
        service = the_service(place.port)
        own = Token(value=Path(service.token_file).read_text().strip(), source=service.token_file)
        api = ServeApi(service.dashboard_url, own)
        yield Reached(api=api, url=service.dashboard_url, token=own, python="python", running=service)
        return
    begin = f"bring it up with `ray up {place.target.file}` first."
    with connect_to_dashboard(place.target, how_to_start=begin) as there:
        api = ServeApi(there.url, there.token)
        yield Reached(api=api, url=there.url, token=there.token, python=there.python, running=None)
