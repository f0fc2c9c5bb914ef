"""Where a service runs: on this machine, or on the Ray that `--cluster` or `--address` names."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cluster.target import cluster_options
from cluster.tokens import Token, read_token
from dgad.errors import SettingsError
from serve.operate.registry import Running, the_service

if TYPE_CHECKING:
    from serve.operate.serve_api import ServeApi


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ServicePlace:
    """As a command names it; nothing named: this machine."""

    file: Path | None = None
    address: str | None = None
    port: int | None = None
    """Of a service on this machine, where several run."""
    python: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether it is what `dgad-serve up` runs here."""
        return self.file is None and self.address is None

    @property
    def option(self) -> str:
        """How a command names it again."""
        if self.file is not None:
            return f" --cluster {self.file}"
        return f" --address {self.address}" if self.address else f" --port {self.port}" if self.port else ""


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
        @cluster_options
        @functools.wraps(function)
        def with_place(*args: Any, cluster_file: Path | None, address: str | None, **others: Any) -> Any:
            port = others.pop("port", None) if local else None
            python = others.pop("python", None)
            if not local and cluster_file is None and address is None:
                raise SettingsError(
                    "Name the Ray to deploy on with --cluster FILE or --address URL; `dgad-serve up` runs one"
                    " on this machine."
                )
            place = ServicePlace(file=cluster_file, address=address, port=port, python=python)
            return function(*args, place=place, **others)

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

    if place.is_local:
        service = the_service(place.port)
        own = Token(value=Path(service.token_file).read_text().strip(), source=service.token_file)
        api = ServeApi(service.dashboard_url, own)
        yield Reached(api=api, url=service.dashboard_url, token=own, python="python", running=service)
        return
    token = read_token()
    python = place.python or "python"
    if place.address is not None:
        url = place.address.rstrip("/")
        yield Reached(api=ServeApi(url, token), url=url, token=token, python=python, running=None)
        return
    from cluster.file.config_file import read_cluster_file
    from cluster.hosts.lifecycle import find_head
    from cluster.hosts.tunnel import tunnel

    assert place.file is not None
    file = read_cluster_file(place.file)
    head = find_head(file)
    if head is None:
        raise SettingsError(
            f"The cluster `{file.name}` of {place.file} is not up: bring it up with `ray up {place.file}`"
            " first."
        )
    with tunnel(head.remote, head.address, port=head.dashboard_port) as url:
        python = place.python or file.interpreter
        yield Reached(api=ServeApi(url, token), url=url, token=token, python=python, running=None)
