"""The options that make `ServeSettings`, shared by `up`, `config` and `deploy`."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dgad.errors import SettingsError
from dgad.settings import from_dict, require
from serve.settings import Limits, ServeSettings

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
    @click.option(
        "--require-keys", is_flag=True, help="Need a key even on loopback, whatever the store says."
    )
    @click.option(
        "--domain-labels", is_flag=True, help="Name domains in the metrics, which ask nobody for a token."
    )
    @click.option(
        "--limit",
        "limits",
        multiple=True,
        metavar="NAME=VALUE",
        help="Change a limit, such as upload_timeout_s=1200; may be repeated.",
    )
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
        require_keys: bool,
        domain_labels: bool,
        limits: tuple[str, ...],
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
            keys="required" if require_keys else "store",
            has_domain_labels=domain_labels,
            limits=_read_limits(limits),
        )
        return function(*args, settings=settings, **others)

    return with_settings


def _read_limits(given: tuple[str, ...]) -> Limits:
    """Limits from `NAME=VALUE`; `SettingsError` for a name or a value that cannot be."""
    values = {}
    for text in given:
        name, equals, value = text.partition("=")
        require(bool(equals), "--limit", "NAME=VALUE, such as upload_timeout_s=1200", text)
        try:
            values[name.strip()] = float(value) if "." in value else int(value)
        except ValueError:
            raise SettingsError(f"`--limit {name}` must be a number, but got {value!r}.") from None
    return from_dict(Limits, values, where="--limit")


def make_absolute(location: str) -> str:
    """A folder by its absolute path, a URI as it is: replicas have another working directory."""
    return location if "://" in location else str(Path(location).absolute())
