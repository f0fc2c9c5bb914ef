"""The options that make `ServeSettings`, shared by `up`, `config` and `deploy`."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from serve.settings import ServeSettings

DEFAULT_STORE = "references"


def settings_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The command gets `settings`; folders in them are absolute."""

    @click.option("--bundle", required=True, help="Folder or URI of the bundle, such as runs/NAME/bundle.")
    @click.option(
        "--store",
        default=DEFAULT_STORE,
        show_default=True,
        help="Folder or URI (s3://...) of the reference stores.",
    )
    @click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
    @click.option("--port", default=8000, show_default=True, help="0: a free one.")
    @click.option("--replicas", default=1, show_default=True, help="Scorers at first and at least.")
    @click.option("--max-replicas", type=int, help="Scorers under load  [default: as many as --replicas]")
    @click.option("--device", default="auto", show_default=True, help="auto | cpu | cuda")
    @functools.wraps(function)
    def with_settings(
        *args: Any,
        bundle: str,
        store: str,
        host: str,
        port: int,
        replicas: int,
        max_replicas: int | None,
        device: str,
        **others: Any,
    ) -> Any:
        settings = ServeSettings(
            bundle=make_absolute(bundle),
            store=make_absolute(store),
            host=host,
            port=port,
            replicas=replicas,
            max_replicas=replicas if max_replicas is None else max_replicas,
            device=device,
        )
        return function(*args, settings=settings, **others)

    return with_settings


def make_absolute(location: str) -> str:
    """A folder by its absolute path, a URI as it is: replicas have another working directory."""
    return location if "://" in location else str(Path(location).absolute())
