"""What a domain's log amounts to: its versions, the photographs that they still have, what comes next."""

import dataclasses
import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dgad.references.domain import Action, Change, DomainSettings, Reference, Version

PURGED_OF = "purged_of_versions"
"""Among the details of a purge: how many references it took from each version, by number."""


def replay_versions(changes: Sequence[Change]) -> tuple[Version, ...]:
    """Every version since the domain was last made, by number, without the photographs purged since.

    `changes`: the whole log, the oldest first.
    """
    found: dict[int, Version] = {}
    for change in changes:
        if change.is_deleted:
            found.clear()
            continue
        counts = change.details.get(PURGED_OF)
        if purged := frozenset(change.details.get("purged", ())):
            found = {n: _without(v, purged, is_counted=counts is None) for n, v in found.items()}
        for number, count in (counts or {}).items():
            found[int(number)] = _count(found[int(number)], count)
        if change.version > 0 and change.version not in found:
            found[change.version] = Version(
                number=change.version,
                created_at=change.made_at,
                author=change.author,
                references=change.references,
                region=change.settings.region,
                num_purged=0,
                is_current=False,
            )
    current = changes[-1].version if changes else 0
    return tuple(dataclasses.replace(v, is_current=n == current) for n, v in sorted(found.items()))


def live_references(changes: Sequence[Change]) -> dict[str, Reference]:
    """By id what any version still has: their photographs must be kept, all others must go."""
    return {r.id: r for v in replay_versions(changes) for r in v.references}


def purged_ids(changes: Sequence[Change]) -> frozenset[str]:
    """Ids that were purged, or that the domain had when it was deleted, and that no version has now."""
    gone: set[str] = set()
    for change in changes:
        gone.update(change.details.get("purged", ()))
    last_deleted = max((i for i, c in enumerate(changes) if c.is_deleted), default=0)
    gone.update(r.id for c in changes[:last_deleted] for r in c.references)
    return frozenset(gone - live_references(changes).keys())


def count_purged(changes: Sequence[Change], ids: Collection[str]) -> dict[str, int]:
    """How many references each version loses by a purge, by its number: the log tells it when the ids go."""
    counts = {v.number: sum(r.id in ids for r in v.references) for v in replay_versions(changes)}
    return {str(number): count for number, count in counts.items() if count}


def count_earlier_purges(changes: Sequence[Change]) -> dict[int, dict[str, Any]]:
    """What the details of purges lack that an earlier version of dgad made, by sequence."""
    return {
        change.sequence: {PURGED_OF: count_purged(changes[:i], change.details["purged"])}
        for i, change in enumerate(changes)
        if "purged" in change.details and PURGED_OF not in change.details
    }


def _without(version: Version, purged: frozenset[str], *, is_counted: bool) -> Version:
    kept = tuple(r for r in version.references if r.id not in purged)
    count = len(version.references) - len(kept)
    return _count(dataclasses.replace(version, references=kept), count if is_counted else 0)


def _count(version: Version, count: int) -> Version:
    return dataclasses.replace(version, num_purged=version.num_purged + count)


def next_change(
    last: Change | None,
    action: Action,
    author: str,
    *,
    settings: DomainSettings | None = None,
    version: int | None = None,
    references: tuple[Reference, ...] | None = None,
    is_deleted: bool = False,
    details: Mapping[str, Any] | None = None,
) -> Change:
    """Make the change after `last`; what is not given stays.

    `details` also carries what every change needs to know: `highest_version` ever given, and when the domain
    was made (`created_at`).
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    if last is None or last.is_deleted:
        assert settings is not None
        version, references, created_at = 0, (), now
    else:
        settings = settings or last.settings
        version = last.version if version is None else version
        references = last.references if references is None else references
        created_at = last.details["created_at"]
    highest = max(version, 0 if last is None else highest_version(last))
    return Change(
        sequence=1 if last is None else last.sequence + 1,
        action=action,
        made_at=now,
        author=author,
        settings=settings,
        version=version,
        references=references,
        is_deleted=is_deleted,
        details={**(details or {}), "highest_version": highest, "created_at": created_at},
    )


def highest_version(change: Change) -> int:
    """The highest number that any version of the domain has had up to this change."""
    return int(change.details["highest_version"])
