"""The kinds of host that a cluster file may start, and what each offers."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NodeType:
    """A kind of host that a cluster file may start, and what each of them offers."""

    name: str
    resources: Mapping[str, float] | None
    """What the file says it offers; None where it says nothing, as for hosts that stand there already."""
    detects_rest: bool
    """Whether what `resources` leaves out is found on the host, rather than zero."""
    min_workers: int
    max_workers: int
    is_head: bool

    def offers(self, resource: str) -> float | None:
        """How much of "CPU" or "GPU" such a host has; None where only the host can tell."""
        if self.resources is not None and resource in self.resources:
            return self.resources[resource]
        return None if self.resources is None or self.detects_rest else 0.0


def list_standing_types(*, min_workers: int, max_workers: int) -> tuple[NodeType, ...]:
    """List the head and the workers of provider `local`, of which the file says no resources."""
    return tuple(
        NodeType(
            name=name,
            resources=None,
            detects_rest=True,
            min_workers=fewest,
            max_workers=most,
            is_head=name == "head",
        )
        for name, fewest, most in (("head", 0, 0), ("workers", min_workers, max_workers))
        if name == "head" or most
    )


def list_started_types(
    types: Mapping[str, Mapping[str, Any]], *, head: str | None, max_workers: int, detects: bool
) -> tuple[NodeType, ...]:
    """List the kinds in the file's `available_node_types`, the head's first.

    `max_workers` bounds a type that names no bound; `detects`: Ray looks up what `resources` leaves out.
    """
    found = [
        NodeType(
            name=str(name),
            resources=None if detects and not given.get("resources") else dict(given.get("resources") or {}),
            detects_rest=detects,
            min_workers=int(given.get("min_workers", 0)),
            # As Ray fills it in: no further head, any number of the others.
            max_workers=int(given.get("max_workers", 0 if name == head else max_workers)),
            is_head=name == head,
        )
        for name, given in types.items()
    ]
    return tuple(sorted(found, key=lambda t: not t.is_head))
