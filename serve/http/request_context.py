"""What is known of a request while it is answered: its id, who asks, and what it is about."""

import dataclasses
import re
import secrets
from collections.abc import MutableMapping
from typing import Any

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SCOPE_KEY = "dgad.facts"


@dataclasses.dataclass(slots=True)
class Facts:
    """Filled as the request goes on; the access log and the metrics read it at the end."""

    request_id: str
    by: str = "local"
    """Name of the API key; `local` where none is needed."""
    key_name: str | None = None
    status: int | None = None
    """Of the answer, once it has begun; 499 where the client left before."""
    num_images: int = 0
    num_bytes: int = 0
    """Of the body, as far as it was read."""


def new_facts(given_id: str | None) -> Facts:
    """Facts of a request that begins; an id that was given is kept if it is short and plain."""
    if given_id is not None and _SANE_ID.fullmatch(given_id):
        return Facts(request_id=given_id)
    return Facts(request_id=secrets.token_hex(8))


def put_facts(scope: MutableMapping[str, Any], facts: Facts) -> None:
    """Let them travel with the request."""
    scope[_SCOPE_KEY] = facts


def facts_of(scope: MutableMapping[str, Any]) -> Facts:
    """Those of the request; new ones where nothing put any."""
    facts = scope.get(_SCOPE_KEY)
    if not isinstance(facts, Facts):
        facts = new_facts(None)
        put_facts(scope, facts)
    return facts
