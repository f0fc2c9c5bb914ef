"""Without keys only this machine's own pages may ask: no rebound name, no other site's script."""

import urllib.parse
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import Headers

from cluster.loopback import is_loopback
from serve.http.errors import ApiError


def check_peer(client: Sequence[Any] | None) -> None:
    """Refuse whoever is not on this machine, though the settings say that nobody else reaches it.

    A Serve that ran before with another host goes on listening there, and any header can be forged.
    """
    if client is not None and not is_loopback(str(client[0])):
        raise ApiError(
            403,
            "peer_refused",
            "Without API keys this service answers to its own machine only; make a key with `dgad-serve keys"
            " create`.",
        )


def check_host(headers: Headers) -> None:
    """Refuse any other name than a loopback one: a web site may give its own name our address."""
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not is_loopback(_without_port(hosts[0])):
        raise ApiError(
            403,
            "host_refused",
            "Without API keys this service answers to localhost and loopback addresses only; use"
            " http://127.0.0.1, or make a key.",
        )


def check_origin(headers: Headers) -> None:
    """Refuse what a browser sends on behalf of another site."""
    origins = headers.getlist("origin")
    own = headers.get("host", "").lower()
    is_other = any(urllib.parse.urlsplit(origin).netloc.lower() != own for origin in _clean_origins(origins))
    if is_other or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        raise ApiError(
            403,
            "origin_refused",
            "Another site's page may not change anything here; use this service's own page, or an API key.",
        )


def _clean_origins(origins: list[str]) -> list[str]:
    readable = []
    for origin in origins:
        try:
            urllib.parse.urlsplit(origin)
            readable.append(origin)
        except ValueError:
            readable.append("null")
    return readable


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
