"""The Ray on which a study runs, as a command names it."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cluster.target import check_cluster_options, cluster_options
from dgad.errors import SettingsError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ClusterPlace:
    """The Ray that a study is sent to: a cluster file's, or one whose dashboard answers at an address."""

    file: Path | None = None
    address: str | None = None
    python: str | None = None
    """Interpreter on its hosts; None: the one beside the `ray` that the cluster file starts."""

    @property
    def option(self) -> str:
        """How a command names it again."""
        return f"--cluster {self.file}" if self.file else f"--address {self.address}"


def place_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name a cluster; the command gets them as `place`, None where none is named."""

    @cluster_options
    @click.option("--python", help="Python on its hosts  [default: beside the `ray` that FILE starts]")
    @functools.wraps(function)
    def with_place(
        *args: Any, cluster_file: Path | None, address: str | None, python: str | None, **others: Any
    ) -> Any:
        return function(*args, place=place_of(cluster_file, address, python), **others)

    return with_place


def place_of(cluster_file: Path | None, address: str | None, python: str | None) -> ClusterPlace | None:
    """The place that options name; `SettingsError` for two of them, or for what is no dashboard."""
    check_cluster_options(cluster_file, address)
    if cluster_file is None and address is None:
        if python is not None:
            raise SettingsError("--python is for a cluster: give --cluster or --address too.")
        return None
    return ClusterPlace(file=cluster_file, address=address, python=python)
