"""`dgad-serve keys`: the API keys of a store, made, listed and revoked where the store is."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.table import Table

from dgad.command_line import PlainConsole
from serve.commands.options import DEFAULT_STORE

F = TypeVar("F", bound=Callable[..., Any])

_CREATE_EXAMPLE = """\b
Examples:
  dgad-serve keys create line-4 --store references
  dgad-serve keys create dashboard --scope read --store s3://bucket/references
"""
_LIST_EXAMPLE = """\b
Example:
  dgad-serve keys list --store references
"""
_REVOKE_EXAMPLE = """\b
Example:
  dgad-serve keys revoke line-4 --store references
"""
_OPEN_EXAMPLE = """\b
Example:
  dgad-serve keys open --store references
"""
_GROUP_EXAMPLE = """\b
Examples:
  dgad-serve keys create line-4 --store references
  dgad-serve keys list --store references
  dgad-serve keys revoke line-4 --store references
"""


def _store_options(command: F) -> F:
    """`--store` and `--json`."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--store",
            default=DEFAULT_STORE,
            show_default=True,
            help="Folder or URI (s3://...) of the reference stores.",
        ),
    ):
        command = option(command)
    return command


@click.group("keys", epilog=_GROUP_EXAMPLE)
def keys_group() -> None:
    """Make, list and revoke the API keys of a store.

    A store that has ever had a key answers nobody without one, until `open` says that it may. A running
    service knows of changes within seconds.
    """


@keys_group.command("create", epilog=_CREATE_EXAMPLE)
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(["read", "write"]),
    default="write",
    show_default=True,
    help="read: look and score; write: enrol, remove and delete as well.",
)
@_store_options
def create_command(*, name: str, scope: str, store: str, as_json: bool) -> None:
    """Make a key called NAME. It is shown this once, alone on standard output, and kept only as a hash.

    NAME stands in the log of every change that is made with it.
    """
    from serve.keys import KeyRing

    ring = KeyRing(store)
    key = ring.create(name, "read" if scope == "read" else "write")
    is_first = len(ring.list()) == 1
    if as_json:
        click.echo(json.dumps({"name": name, "scope": scope, "key": key}))
        return
    click.echo(key)
    first = " It is the first of this store: from now on every request needs a key." if is_first else ""
    click.echo(
        f"This key is not shown again. Clients take it from the environment variable DGAD_API_KEY.{first}",
        err=True,
    )


@keys_group.command("list", epilog=_LIST_EXAMPLE)
@_store_options
def list_command(*, store: str, as_json: bool) -> None:
    """List the keys of a store by name; nobody can list what they are."""
    from serve.keys import KeyRing

    ring = KeyRing(store)
    keys = ring.list()
    if as_json:
        shown = [{"name": k.name, "scope": k.scope, "created_at": k.created_at} for k in keys]
        click.echo(json.dumps({"keys": shown, "is_closed": ring.is_closed}, indent=2))
        return
    if not keys:
        click.echo(f"{store} has no keys{_closed_end(store) if ring.is_closed else _OPEN_END}")
        return
    table = Table("name", "scope", "made", title=f"{len(keys)} keys of {store}", title_justify="left")
    for key in keys:
        table.add_row(key.name, key.scope, key.created_at)
    PlainConsole(soft_wrap=True).print(table)


@keys_group.command("revoke", epilog=_REVOKE_EXAMPLE)
@click.argument("name")
@_store_options
def revoke_command(*, name: str, store: str, as_json: bool) -> None:
    """Revoke the key called NAME: no request with it is answered any more.

    A store without its last key stays closed; `open` opens it to everybody on the machine it is served from.
    """
    from serve.keys import KeyRing

    ring = KeyRing(store)
    ring.revoke(name)
    num_left = len(ring.list())
    if as_json:
        click.echo(json.dumps({"revoked": name, "num_keys": num_left}))
        return
    left = f"{num_left} are left." if num_left else f"none is left{_closed_end(store)}"
    click.echo(f"Revoked {name}; {left}")


@keys_group.command("open", epilog=_OPEN_EXAMPLE)
@_store_options
def open_command(*, store: str, as_json: bool) -> None:
    """Put down that a store without keys is open to everybody on the machine it is served from.

    It is needed where the store had keys once. Beyond loopback, and with `up --require-keys`, keys are
    needed all the same; making a key closes the store again.
    """
    from serve.keys import KeyRing

    KeyRing(store).open_to_all()
    if as_json:
        click.echo(json.dumps({"is_closed": False}))
        return
    click.echo(f"{store} needs no keys on loopback from now on; `dgad-serve keys create` closes it again.")


_OPEN_END = "; a service on loopback needs none."


def _closed_end(store: str) -> str:
    return (
        ", so nobody is answered: make one (`dgad-serve keys create`), or open the store on loopback with"
        f" `dgad-serve keys open --store {store}`."
    )
