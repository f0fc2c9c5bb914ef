"""The reference store: what a domain's references are now and were, and every way to change them."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dgad.errors import ConflictError, MissingError, StoreError
from dgad.references import enrolment
from dgad.references.cleaning import finish_domain, finish_removal, mark_removal
from dgad.references.domain import (
    Change,
    DomainSettings,
    Enrolment,
    Reference,
    Upload,
    check_domain_name,
)
from dgad.references.domain_locks import DomainLocks
from dgad.references.history import (
    PURGED_OF,
    count_purged,
    highest_version,
    live_references,
    next_change,
    purged_ids,
    replay_versions,
)
from dgad.references.photographs import id_of
from dgad.references.plan import Plan
from dgad.references.reader import StoreReader, is_domain_name, no_reference_error, store_file

_TRIES = 100


class ReferenceStore(StoreReader):
    """A store at a folder or URI; any number of these, in any processes, see each other's changes at once.

    Reading makes nothing. Any number of processes may write on a local disk; on an object store only one.
    """

    def __init__(self, location: str | Path) -> None:
        """`StoreError` where the place cannot be used or a newer dgad has written it."""
        super().__init__(location)
        self.locks = DomainLocks(self.storage)
        self._keys = enrolment.KeyIndex(self._log)

    def create(self, domain: str, settings: DomainSettings, *, author: str) -> Change:
        """Make the domain or, where it is there, give it these settings; unchanged, nothing is written.

        The region of interest of one that is there stays: see `set_region`.
        """
        check_domain_name(domain)

        def make(last: Change | None) -> Change | None:
            if last is None or last.is_deleted:
                return next_change(last, "create", author, settings=settings, version=0, references=())
            own = dataclasses.replace(settings, region=last.settings.region)
            return None if last.settings == own else next_change(last, "settings", author, settings=own)

        return self._change(domain, make)

    def set_region(self, domain: str, region: Mapping[str, Any] | None, *, author: str) -> Change:
        """Give the domain a region of interest, as a new version of what it has enrolled; None: all counts.

        Unchanged, nothing is written. `DataError` for what is no region.
        """

        def make(last: Change | None) -> Change | None:
            head = _existing(domain, last)
            if head.settings.region == region:
                return None
            settings = dataclasses.replace(head.settings, region=region)
            version = highest_version(head) + 1 if head.references else head.version
            return next_change(head, "region", author, settings=settings, version=version)

        self.head(domain)
        return self._change(domain, make)

    def plan_enrolment(
        self,
        domain: str,
        uploads: Sequence[Upload],
        *,
        author: str,
        idempotency_key: str | None = None,
        max_references: int = 1000,
    ) -> Plan | Enrolment:
        """Work out an enrolment and lay its photographs down; `commit` makes it count.

        An `Enrolment` where nothing is left to do: the same request was carried out before, or every
        photograph is there. `ConflictError` where there would be more references than `max_references`, or
        the key came with other photographs before.
        """
        head = self.head(domain)
        self._begin()
        plan = enrolment.plan_enrolment(
            domain,
            head,
            uploads,
            author=author,
            idempotency_key=idempotency_key,
            max_references=max_references,
            photographs=self._photographs,
            keys=self._keys,
        )
        if isinstance(plan, Plan):
            self._photographs.keep(domain, plan.new_uploads)
        self._mend(domain, [u for u in uploads if id_of(u.data) in plan.already_there])
        return plan

    def _mend(self, domain: str, uploads: Sequence[Upload]) -> None:
        """Enrolling a photograph again heals what the disk has damaged; not what was purged meanwhile."""
        if damaged := self._photographs.list_incomplete(domain, uploads):
            with self.locks.hold(domain):
                current = {r.id for r in self.head(domain).references}
                self._photographs.keep(domain, [u for u in damaged if id_of(u.data) in current])

    def commit(self, plan: Plan) -> Enrolment:
        """Make a plan count; once this returns it survives whatever is killed.

        Where another writer was faster it is planned anew, on top of what that one did: then `head` has more
        references than the plan.
        """
        self._begin()
        with self.locks.hold(plan.domain):
            try:
                return self._commit(plan)
            except StoreError:
                with contextlib.suppress(StoreError):
                    self._take_back(plan)
                raise

    def _commit(self, plan: Plan) -> Enrolment:
        for _ in range(_TRIES):
            head = self.head(plan.domain)
            if head.sequence != plan.sequence:
                again = enrolment.plan_enrolment_again(plan, head, self._photographs, self._keys)
                if isinstance(again, Enrolment):
                    return again
                plan = again
            self._photographs.keep_missing(plan.domain, plan.new_uploads)
            change = next_change(
                head,
                "enroll",
                plan.author,
                version=highest_version(head) + 1,
                references=plan.references,
                details=enrolment.describe_plan(plan),
            )
            if self._log.append(plan.domain, change):
                return enrolment.enrolment_of(change)
        raise _too_busy(plan.domain)

    def abandon(self, plan: Plan) -> None:
        """Take back what a plan laid down that will not be committed."""
        with self.locks.hold(plan.domain):
            self._take_back(plan)

    def _take_back(self, plan: Plan) -> None:
        live = live_references(self._log.all(plan.domain))
        self._photographs.drop(plan.domain, {r.id for r in plan.added} - live.keys())

    def remove(self, domain: str, reference_id: str, *, author: str) -> Change:
        """Take one reference out of the current version; older versions still have it."""

        def make(last: Change | None) -> Change:
            head = _existing(domain, last)
            left = self._without(domain, head, reference_id)
            if left is None:
                raise no_reference_error(domain, reference_id)
            return next_change(
                head,
                "remove",
                author,
                version=highest_version(head) + 1,
                references=left,
                details={"removed": [reference_id]},
            )

        self.head(domain)
        return self._change(domain, make)

    def purge(self, domain: str, reference_id: str, *, author: str) -> Change:
        """Remove one reference from every version, its photograph and all that was made with it, for good.

        The log keeps that one was purged, when and by whom: neither its name nor its digest.
        """

        def make(last: Change | None) -> Change | None:
            head = _existing(domain, last)
            changes = self._log.all(domain)
            if reference_id not in live_references(changes):
                if reference_id in purged_ids(changes):  # the disk kept an earlier purge from its end
                    self._finish_removal(domain, [reference_id])
                    return None
                raise no_reference_error(domain, reference_id)
            mark_removal(self.storage, domain)
            left = self._without(domain, head, reference_id)
            details = {"purged": [reference_id], PURGED_OF: count_purged(changes, [reference_id])}
            if left is None:
                return next_change(head, "purge", author, details=details)
            return next_change(
                head, "purge", author, version=highest_version(head) + 1, references=left, details=details
            )

        self.head(domain)
        self._change(domain, make, after=lambda: self._finish_removal(domain, [reference_id]))
        return self.head(domain)  # as the log has it now

    def rollback(self, domain: str, version: int, *, author: str) -> Change:
        """Make an older version current, less what was purged since; nothing is written if it is current."""

        def make(last: Change | None) -> Change | None:
            head = _existing(domain, last)
            found = {v.number: v for v in replay_versions(self._log.all(domain))}
            if version not in found:
                known = ", ".join(map(str, found)) or "none yet"
                raise MissingError(f"Domain {domain!r} has no version {version}; it has: {known}.")
            if head.version == version:
                return None
            return next_change(
                head,
                "rollback",
                author,
                version=version,
                settings=dataclasses.replace(head.settings, region=found[version].region),
                references=found[version].references,
                details={"left_version": head.version},
            )

        self.head(domain)
        return self._change(domain, make)

    def delete(self, domain: str, *, author: str) -> Change:
        """Remove the domain with all its photographs. Its log stays: made again, its numbers go on."""

        def make(last: Change | None) -> Change:
            head = _existing(domain, last)
            mark_removal(self.storage, domain)
            return next_change(head, "delete", author, version=0, references=(), is_deleted=True)

        self.head(domain)
        return self._change(domain, make, after=lambda: self._finish_removal(domain, None))

    def _finish_removal(self, domain: str, reference_ids: Sequence[str] | None) -> None:
        finish_removal(self.storage, self._log, domain, reference_ids)
        self._keys.forget(domain)
        self._live.pop(domain, None)

    def finish_interrupted(self) -> None:
        """Finish the purges and deletions that a crash broke off, and remove what killed writers left.

        Call it when a service starts. A domain that cannot be read is left as it is.
        """
        for domain in self.storage.folders("domains"):
            if is_domain_name(domain):
                finish_domain(self.storage, self.locks, self._log, domain)

    def _without(self, domain: str, head: Change, reference_id: str) -> tuple[Reference, ...] | None:
        """The current references less one, or None where it is not among them."""
        left = tuple(r for r in head.references if r.id != reference_id)
        if len(left) == len(head.references):
            return None
        return enrolment.mark_near_duplicates_again(domain, left, reference_id, self._photographs)

    def _change(
        self,
        domain: str,
        make: Callable[[Change | None], Change | None],
        *,
        after: Callable[[], None] = lambda: None,
    ) -> Change:
        """Commit what `make` makes of the last change (None: that one stands), then do what follows."""
        self._begin()
        with self.locks.hold(domain):
            for _ in range(_TRIES):
                last = self._log.newest(domain)
                change = make(last)
                if change is None:
                    assert last is not None
                    return last
                if self._log.append(domain, change):
                    after()
                    return change
        raise _too_busy(domain)

    def _begin(self) -> None:
        self._check_is_there()
        if not self._has_begun:
            self.storage.make_folder()
            self.storage.create("store.json", store_file())
            self._has_begun = True


def _existing(domain: str, last: Change | None) -> Change:
    if last is None or last.is_deleted:
        raise MissingError(f"There is no domain {domain!r}: create it first.")
    return last


def _too_busy(domain: str) -> ConflictError:
    return ConflictError(f"Domain {domain!r} changed {_TRIES} times while it was being written: try again.")
