"""What an enrolment comes to: new photographs, near duplicates, or a request that was carried out before."""

import dataclasses
import datetime
import threading
from collections.abc import Sequence
from typing import Any

from dgad.errors import ConflictError
from dgad.references.domain import Change, Enrolment, Reference, Upload
from dgad.references.duplicates import fingerprint_of_file, near_duplicates
from dgad.references.log import Log
from dgad.references.photographs import Photographs, id_of
from dgad.references.plan import Plan, hash_of_body, hash_of_key


class KeyIndex:
    """Finds the change that an idempotency key made, since the domain was last made. Reads a log once."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._found: dict[str, tuple[int, dict[str, Change]]] = {}
        self._lock = threading.Lock()

    def find(self, domain: str, head: Change, key: str) -> Change | None:
        """By the hash of the key, up to `head`."""
        with self._lock:
            through, found = self._found.get(domain, (0, {}))
            if through < head.sequence:
                for change in self._log.all(domain, after=through):
                    if change.is_deleted:
                        found.clear()
                    elif "idempotency_key" in change.details:
                        found[change.details["idempotency_key"]] = change
                    through = change.sequence
                self._found[domain] = (through, found)
            return found.get(key)

    def forget(self, domain: str) -> None:
        """Read the domain's log anew next time."""
        with self._lock:
            self._found.pop(domain, None)


def plan_enrolment(
    domain: str,
    head: Change,
    uploads: Sequence[Upload],
    *,
    author: str,
    idempotency_key: str | None,
    max_references: int,
    photographs: Photographs,
    keys: KeyIndex,
) -> Plan | Enrolment:
    """Work out what an enrolment would change, as `ReferenceStore.plan_enrolment` says; writes nothing."""
    blank = Plan(
        domain=domain,
        sequence=head.sequence,
        settings=head.settings,
        references=head.references,
        added=(),
        already_there=(),
        uploads=tuple(uploads),
        author=author,
        key=None if idempotency_key is None else hash_of_key(idempotency_key),
        body=hash_of_body(uploads),
        max_references=max_references,
    )
    return plan_enrolment_again(blank, head, photographs, keys)


def plan_enrolment_again(
    earlier: Plan, head: Change, photographs: Photographs, keys: KeyIndex
) -> Plan | Enrolment:
    """The same request on top of `head`."""
    if earlier.key is not None and (made := keys.find(earlier.domain, head, earlier.key)) is not None:
        # A purge since then has taken the sum over the photographs away.
        if made.details.get("body", earlier.body) != earlier.body:
            raise ConflictError(
                f"This idempotency key came with other photographs before (change {made.sequence} of domain"
                f" {earlier.domain!r}): use a new key for every request, and the same one only to repeat it."
            )
        return dataclasses.replace(enrolment_of(made), is_repeated=True)
    before = {r.id for r in head.references}
    by_id = {id_of(u.data): u for u in earlier.uploads}
    new = {i: u for i, u in by_id.items() if i not in before}
    already_there = tuple(i for i in by_id if i in before)
    if not new:
        return Enrolment(version=head.version, sequence=head.sequence, added=(), already_there=already_there)
    count = len(head.references) + len(new)
    if count > earlier.max_references:
        raise ConflictError(
            f"Domain {earlier.domain!r} has {len(head.references)} references and would have {count}, more"
            f" than the {earlier.max_references} allowed: remove some first, enrol fewer, or have the limit"
            " raised."
        )
    added = _mark_near_duplicates(earlier.domain, head.references, new, photographs)
    return dataclasses.replace(
        earlier,
        sequence=head.sequence,
        settings=head.settings,
        references=(*head.references, *added),
        added=added,
        already_there=already_there,
    )


def describe_plan(plan: Plan) -> dict[str, Any]:
    """What the log says of it: enough to answer the same request again."""
    said: dict[str, Any] = {
        "added": [r.id for r in plan.added],
        "already_there": list(plan.already_there),
    }
    if plan.key is not None:
        said |= {"idempotency_key": plan.key, "body": plan.body}
    return said


def enrolment_of(change: Change) -> Enrolment:
    """The answer to the request that made the change."""
    added = frozenset(change.details["added"])
    return Enrolment(
        version=change.version,
        sequence=change.sequence,
        added=tuple(r for r in change.references if r.id in added),
        already_there=tuple(change.details["already_there"]),
    )


def mark_near_duplicates_again(
    domain: str, left: tuple[Reference, ...], gone: str, photographs: Photographs
) -> tuple[Reference, ...]:
    """References of which one is gone: its near duplicates may have another, or are none any more."""
    marked: list[Reference] = []
    for reference in left:
        if reference.near_duplicate_of == gone:
            prints = [photographs.fingerprint(domain, r.id) for r in (*marked, reference)]
            copies = [i for i, r in enumerate(marked) if r.near_duplicate_of is not None]
            (nearest,) = near_duplicates(prints, len(marked), copies)
            other = None if nearest is None else marked[nearest].id
            reference = dataclasses.replace(reference, near_duplicate_of=other)
        marked.append(reference)
    return tuple(marked)


def _mark_near_duplicates(
    domain: str, before: tuple[Reference, ...], new: dict[str, Upload], photographs: Photographs
) -> tuple[Reference, ...]:
    """The new references, each with the earlier one it is nearly equal to."""
    prints = [photographs.fingerprint(domain, r.id) for r in before]
    prints += [u.fingerprint or fingerprint_of_file(u.data) for u in new.values()]
    copies = [i for i, r in enumerate(before) if r.near_duplicate_of is not None]
    nearest = near_duplicates(prints, len(before), copies)
    ids = [*(r.id for r in before), *new]
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return tuple(
        Reference(
            id=reference_id,
            name=upload.name,
            num_bytes=len(upload.data),
            width_px=upload.width_px,
            height_px=upload.height_px,
            added_at=now,
            near_duplicate_of=None if near is None else ids[near],
        )
        for (reference_id, upload), near in zip(new.items(), nearest, strict=True)
    )
