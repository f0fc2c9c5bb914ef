"""The six changes that a service makes to its stores, as values that travel to the one writer.

Between replicas a change goes as its `action` and plain arguments, as in every version so far: in a roll-out
an ingress of one version asks the writer of another.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from dgad.references.domain import DomainSettings, Upload

_WIRE_NAMES = {"author": "by"}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CreateDomain:
    """Make the domain or, where it is there, give it these settings."""

    action: ClassVar = "create"
    domain: str
    settings: DomainSettings
    author: str
    """Name of the API key that asked for it; `local` without keys."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SetRegion:
    """Give the domain a region of interest as a new version; None: all of every photograph counts."""

    action: ClassVar = "region"
    domain: str
    region: Mapping[str, Any] | None
    author: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Enroll:
    """Add references as one new version; acknowledged only when it is durable and warm."""

    action: ClassVar = "enroll"
    domain: str
    uploads: Sequence[Upload]
    author: str
    idempotency_key: str | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RemoveReference:
    """Take one reference out of the current version or, to `purge`, out of every version for good."""

    action: ClassVar = "remove"
    domain: str
    reference_id: str
    purge: bool
    author: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Rollback:
    """Make an older version current."""

    action: ClassVar = "rollback"
    domain: str
    version: int
    author: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DeleteDomain:
    """Remove the domain with all its images; its log stays."""

    action: ClassVar = "delete"
    domain: str
    author: str


DomainWrite: TypeAlias = CreateDomain | SetRegion | RemoveReference | Rollback | DeleteDomain
"""What is answered by the `dgad.references.domain.Change` that it made."""
Write: TypeAlias = DomainWrite | Enroll

_WRITES: tuple[type[Any], ...] = (CreateDomain, SetRegion, Enroll, RemoveReference, Rollback, DeleteDomain)
_BY_ACTION: Mapping[str, type[Any]] = {write.action: write for write in _WRITES}


def pack_write(write: Write) -> tuple[str, dict[str, Any]]:
    """Give a change's action and arguments, as the writer's replica is called with."""
    names = (field.name for field in dataclasses.fields(write))
    return write.action, {_WIRE_NAMES.get(name, name): getattr(write, name) for name in names}


def unpack_write(action: str, arguments: Mapping[str, Any]) -> Write:
    """Make the change that `pack_write` packed; `KeyError` and `TypeError` for what no version sends."""
    write = _BY_ACTION[action]
    fields = dataclasses.fields(write)
    made: Write = write(
        **{field.name: arguments[_WIRE_NAMES.get(field.name, field.name)] for field in fields}
    )
    return made
