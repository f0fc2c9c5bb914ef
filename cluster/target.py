"""`--cluster FILE` and `--address URL`: the options by which a command names a Ray that is not its own."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dgad.errors import SettingsError


def cluster_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The command gets them as `cluster_file` and `address`, checked."""

    @click.option(
        "--cluster",
        "cluster_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Ray's cluster file: on this cluster, reached by ssh.",
    )
    @click.option("--address", help="Dashboard of a Ray that already runs: http://HOST:8265.")
    @functools.wraps(function)
    def with_checked(*args: Any, cluster_file: Path | None, address: str | None, **others: Any) -> Any:
        check_cluster_options(cluster_file, address)
        return function(*args, cluster_file=cluster_file, address=address, **others)

    return with_checked


def check_cluster_options(cluster_file: Path | None, address: str | None) -> None:
    """Raise `SettingsError` for two clusters, or for what is no dashboard."""
    if cluster_file is not None and address is not None:
        raise SettingsError("--cluster and --address name two clusters: give one of them.")
    if address is not None and not address.startswith(("http://", "https://")):
        raise SettingsError(
            "--address must be the URL of a Ray dashboard, such as http://127.0.0.1:8265, but got"
            f" {address!r}."
        )
