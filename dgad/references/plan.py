"""What one enrolment will do, worked out before anything is committed."""

import dataclasses
import hashlib
from collections.abc import Sequence

from dgad.references.domain import DomainSettings, Reference, Upload
from dgad.references.photographs import id_of


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The references there will be; their photographs are in the store already, though nothing lists them."""

    domain: str
    sequence: int
    """The domain's last change when this was planned."""
    settings: DomainSettings
    references: tuple[Reference, ...]
    """All of the version to come: those there were, then `added`."""
    added: tuple[Reference, ...]
    already_there: tuple[str, ...]
    uploads: tuple[Upload, ...]
    """As the request brought them."""
    author: str
    key: str | None
    """SHA-256 of the idempotency key."""
    body: str
    """SHA-256 over the request's photographs and their names."""
    max_references: int

    @property
    def new_uploads(self) -> tuple[Upload, ...]:
        """Those that become `added`, each once."""
        by_id = {id_of(u.data): u for u in self.uploads}
        return tuple(by_id[r.id] for r in self.added)


def hash_of_key(idempotency_key: str) -> str:
    """As it is kept: the key itself may be a secret of the caller's."""
    return hashlib.sha256(idempotency_key.encode("utf-8", "surrogatepass")).hexdigest()


def hash_of_body(uploads: Sequence[Upload]) -> str:
    """Equal for the same photographs by the same names in the same order."""
    total = hashlib.sha256()
    for upload in uploads:
        name = hashlib.sha256(upload.name.encode("utf-8", "surrogatepass")).hexdigest()
        total.update(f"{id_of(upload.data)} {name}\n".encode())
    return total.hexdigest()
