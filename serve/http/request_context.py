"""What is known of a request while it is answered: its id, who asks, and what it is about."""

import dataclasses
import re
import secrets
from collections.abc import MutableMapping
from typing import Any

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SCOPE_KEY = "dgad.context"


@dataclasses.dataclass(slots=True)
class RequestContext:
    """What is known of one request, filled as it goes on; access log and metrics read it at the end."""

    request_id: str
    author: str = "local"
    """Name of the API key; `local` where none is needed."""
    key_name: str | None = None
    client: str = "unknown"
    """Who shares bounds: a key, else an address."""
    status: int | None = None
    """Of the answer, once it has begun; 499 where the client left before."""
    num_images: int = 0
    num_bytes: int = 0
    """Of the body, as far as it was read."""


def start_context(given_id: str | None) -> RequestContext:
    """Begin the context of a request; an id that the client gave is kept if it is short and plain."""
    if given_id is not None and _SANE_ID.fullmatch(given_id):
        return RequestContext(request_id=given_id)
    return RequestContext(request_id=secrets.token_hex(8))


def attach_context(scope: MutableMapping[str, Any], context: RequestContext) -> None:
    """Store the context in the ASGI scope, where every layer finds it."""
    scope[_SCOPE_KEY] = context


def context_of(scope: MutableMapping[str, Any]) -> RequestContext:
    """Return the context in the ASGI scope; begins one where the middleware did not run."""
    context = scope.get(_SCOPE_KEY)
    if not isinstance(context, RequestContext):
        context = start_context(None)
        attach_context(scope, context)
    return context
