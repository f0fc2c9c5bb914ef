"""The Ray that a command names by `--cluster FILE` or `--address URL`, and the way to its dashboard."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cluster.tokens import Token, read_token
from dgad.errors import SettingsError

if TYPE_CHECKING:
    from cluster.file.config_file import ClusterFile
    from cluster.hosts.lifecycle import Head

_F = TypeVar("_F", bound=Callable[..., Any])
_FILE_HELP = "Ray's cluster file: on this cluster, reached by ssh."
_ADDRESS_HELP = "Dashboard of a Ray that already runs: http://HOST:8265."
_PYTHON_HELP = "Python on its hosts  [default: beside the `ray` that FILE starts]"


# Without slots, so that the parsed file can be kept once it was read.
@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterTarget:
    """The Ray a command works on: a cluster file's, or one whose dashboard answers at an address."""

    file: Path | None = None
    address: str | None = None
    """URL of a dashboard; where it is None, `file` is not."""
    python: str | None = None
    """Interpreter on its hosts; None: the one beside the `ray` that the cluster file starts."""

    @functools.cached_property
    def cluster_file(self) -> "ClusterFile":
        """The parsed cluster file, read when it is first asked for and never again.

        Raises `SettingsError` for a file that Ray would refuse.
        """
        from cluster.file.config_file import read_cluster_file  # jsonschema takes a moment to import

        assert self.file is not None
        return read_cluster_file(self.file)

    @property
    def option(self) -> str:
        """The option by which another command names the same Ray."""
        return f"--cluster {self.file}" if self.file else f"--address {self.address}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Dashboard:
    """A dashboard that can be asked from this machine while `connect_to_dashboard` lasts."""

    url: str
    token: Token | None
    python: str
    """Interpreter on the hosts, as a shell word."""


def declare_cluster_options(
    *, file_help: str = _FILE_HELP, address_help: str = _ADDRESS_HELP, has_python: bool = True
) -> Callable[[_F], _F]:
    """Declare `--cluster`, `--address` and `--python`; the command gets the three as they were given.

    Their values go to `resolve_target`. `add_cluster_options` does both, for a command that needs no more.
    """

    def declare(function: _F) -> _F:
        if has_python:
            function = click.option("--python", help=_PYTHON_HELP)(function)
        function = click.option("--address", help=address_help)(function)
        return click.option(
            "--cluster", "cluster_file", type=click.Path(path_type=Path, dir_okay=False), help=file_help
        )(function)

    return declare


def add_cluster_options(*, has_python: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare the options that name a cluster; the command gets `target`, None where none is named."""

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        @declare_cluster_options(has_python=has_python)
        @functools.wraps(function)
        def with_target(
            *args: Any,
            cluster_file: Path | None,
            address: str | None,
            **others: Any,
        ) -> Any:
            python = others.pop("python") if has_python else None
            return function(*args, target=resolve_target(cluster_file, address, python), **others)

        return with_target

    return declare


def resolve_target(
    cluster_file: Path | None, address: str | None, python: str | None
) -> ClusterTarget | None:
    """The Ray that the options name, or None; `SettingsError` for two, or for what is no dashboard."""
    if cluster_file is not None and address is not None:
        raise SettingsError("--cluster and --address name two clusters: give one of them.")
    if address is not None and not address.startswith(("http://", "https://")):
        raise SettingsError(
            "--address must be the URL of a Ray dashboard, such as http://127.0.0.1:8265, but got"
            f" {address!r}."
        )
    if cluster_file is None and address is None:
        if python is not None:
            raise SettingsError("--python is for a cluster: give --cluster or --address too.")
        return None
    return ClusterTarget(file=cluster_file, address=address, python=python)


@contextlib.contextmanager
def connect_to_dashboard(
    target: ClusterTarget,
    *,
    how_to_start: str,
    find_head: "Callable[[ClusterFile], Head | None] | None" = None,
) -> Iterator[Dashboard]:
    """Give the target's dashboard at a URL of this machine: by a tunnel where a cluster file says how.

    Args:
        target: The Ray to connect to.
        how_to_start: End of the sentence that says that the cluster is not up, such as "`ray up` starts it".
        find_head: What finds the head, or starts it; by default it is only looked for.

    Raises:
        SettingsError: Where the cluster is not up, or its file is not a valid one.
        ClusterError: Where its head or dashboard cannot be reached.
    """
    token = read_token()
    if target.file is None:
        assert target.address is not None
        yield Dashboard(url=target.address.rstrip("/"), token=token, python=target.python or "python")
        return
    from cluster.hosts import lifecycle, tunnel

    file = target.cluster_file
    head = (find_head or lifecycle.find_head)(file)
    if head is None:
        raise SettingsError(f"The cluster `{file.name}` of {target.file} is not up: {how_to_start}")
    with tunnel.open_tunnel(head.ssh, head.address, port=head.dashboard_port) as url:
        yield Dashboard(url=url, token=token, python=target.python or file.interpreter)
