"""The one writer of a service's stores: every change is warm before it counts; neither Ray nor HTTP."""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dgad.bundle import load_method, read_bundle
from dgad.device import resolve_device
from dgad.errors import ConflictError, MissingError, StoreError, UserError
from dgad.features.cache import FeatureCache
from dgad.references.domain import Change, DomainSettings, Enrolment, Reference, Upload
from dgad.references.store import ReferenceStore
from serve.engine.states import EnrolledStates
from serve.engine.writes import (
    CreateDomain,
    DeleteDomain,
    Enroll,
    RemoveReference,
    Rollback,
    SetRegion,
    Write,
)
from serve.settings import Limits

logger = logging.getLogger(__name__)

_CACHE_BYTES = 2**30
"""Of features: every round of a calibration asks for those of all references again."""


class StoreWriter:
    """Changes one store with one bundle; for one thread.

    Whatever changes what queries are compared with is carried out as: make the state, store it, commit. So
    the next score finds it, and a crash in between leaves a file that nobody asks for.
    """

    def __init__(
        self,
        bundle: str | Path,
        store: str,
        *,
        device: str = "auto",
        limits: Limits,
        is_alone: bool = True,
    ) -> None:
        """Finish what a killed writer had begun, if this one `is_alone`.

        What another one at work has not yet committed looks the same. Raises `BundleError` and `StoreError`
        as their readers do.
        """
        info = read_bundle(bundle)
        method = load_method(bundle, resolve_device(device), FeatureCache(_CACHE_BYTES))
        self.bundle_id = info.bundle_id
        self._limits = limits
        self._store = ReferenceStore(store)
        self._states = EnrolledStates(method, info.bundle_id, self._store)
        if is_alone:
            self._store.finish_interrupted()

    def carry_out(self, change: Write) -> Change | Enrolment:
        """Make a change that came as a value; the methods below say what each raises."""
        match change:
            case CreateDomain(domain=domain, settings=settings, author=author):
                return self.create(domain, settings, author=author)
            case SetRegion(domain=domain, region=region, author=author):
                return self.set_region(domain, region, author=author)
            case Enroll(domain=domain, uploads=uploads, author=author, idempotency_key=key):
                return self.enroll(domain, uploads, author=author, idempotency_key=key)
            case RemoveReference(domain=domain, reference_id=reference_id, purge=purge, author=author):
                return self.remove(domain, reference_id, purge=purge, author=author)
            case Rollback(domain=domain, version=version, author=author):
                return self.rollback(domain, version, author=author)
            case DeleteDomain(domain=domain, author=author):
                return self.delete(domain, author=author)

    def create(self, domain: str, settings: DomainSettings, *, author: str) -> Change:
        """Make the domain or, where it is there, give it these settings."""
        head = self._head(domain)
        if head is None:
            names = self._store.domains()
            if len(names) >= self._limits.max_domains:
                raise ConflictError(
                    f"There are {len(names)} domains already, as many as this service may have: delete one,"
                    " or start it with a higher `max_domains`."
                )
        elif head.references:
            own = dataclasses.replace(settings, region=head.settings.region)
            self._warm(domain, head.references, own)
        return self._store.create(domain, settings, author=author)

    def set_region(self, domain: str, region: Mapping[str, Any] | None, *, author: str) -> Change:
        """Give the domain a region of interest, as a new version; `DataError` where it covers no patch."""
        head = self._store.head(domain)
        if head.references and head.settings.region != region:
            self._warm(domain, head.references, dataclasses.replace(head.settings, region=region))
        return self._store.set_region(domain, region, author=author)

    def enroll(
        self, domain: str, uploads: Sequence[Upload], *, author: str, idempotency_key: str | None
    ) -> Enrolment:
        """Add references as one new version."""
        plan = self._store.plan_enrolment(
            domain,
            uploads,
            author=author,
            idempotency_key=idempotency_key,
            max_references=self._limits.max_references,
        )
        if isinstance(plan, Enrolment):
            return plan
        try:
            self._warm(domain, plan.references, plan.settings, uploads)
        except BaseException:
            self._store.abandon(plan)
            raise
        return self._store.commit(plan)

    def remove(self, domain: str, reference_id: str, *, purge: bool, author: str) -> Change:
        """Take one reference out of the current version or, to `purge`, out of every version for good.

        The last reference stays: `ConflictError`.
        """
        head = self._store.head(domain)
        left = tuple(r for r in head.references if r.id != reference_id)
        if head.references and not left:
            raise ConflictError(
                f"{reference_id[:12]}... is the only reference of domain {domain!r}, and without one nothing"
                " can be scored: enrol others first, or delete the domain."
            )
        if len(left) < len(head.references):
            self._warm(domain, left, head.settings)
        if not purge:
            return self._store.remove(domain, reference_id, author=author)
        change = self._store.purge(domain, reference_id, author=author)
        self._states.forget()
        return change

    def rollback(self, domain: str, version: int, *, author: str) -> Change:
        """Make an older version current."""
        head = self._store.head(domain)
        found = next((v for v in self._store.versions(domain) if v.number == version), None)
        if found is not None and not found.references:
            raise ConflictError(
                f"Every reference of version {version} of domain {domain!r} has been purged, so nothing could"
                " be scored with it: choose another version."
            )
        if found is not None and not found.is_current:
            settings = dataclasses.replace(head.settings, region=found.region)
            self._warm(domain, found.references, settings)
        return self._store.rollback(domain, version, author=author)

    def delete(self, domain: str, *, author: str) -> Change:
        """Remove the domain with all its images; its log stays."""
        change = self._store.delete(domain, author=author)
        self._states.forget()
        return change

    def embed_all(self, progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> int:
        """Make every state that this bundle lacks, before it takes over from another; returns how many.

        `progress` is called as (domains done, domains, name of the last). A domain that cannot be enrolled
        does not keep the others from it; they are all named in the `StoreError` at the end.
        """
        names = self._store.domains()
        num_made = 0
        failed: dict[str, UserError] = {}
        for done, name in enumerate(names, start=1):
            try:
                num_made += self._embed(name)
            except UserError as error:
                failed[name] = error
            progress(done, len(names), name)
        if failed:
            first, reason = next(iter(failed.items()))
            raise StoreError(
                f"{len(failed)} of {len(names)} domains cannot be enrolled with this bundle"
                f" ({', '.join(failed)[:200]}); {first}: {reason}"
            )
        return num_made

    def _embed(self, domain: str) -> bool:
        """Whether a state had to be made; not for a domain that is deleted meanwhile."""
        head = self._head(domain)
        if head is None or not head.references:
            return False
        if self._states.fetch(domain, head.references, head.settings) is not None:
            return False
        self._warm(domain, head.references, head.settings)
        return True

    def _head(self, domain: str) -> Change | None:
        try:
            return self._store.head(domain)
        except MissingError:
            return None

    def _warm(
        self,
        domain: str,
        references: Sequence[Reference],
        settings: DomainSettings,
        uploads: Sequence[Upload] = (),
    ) -> None:
        if (region := settings.region_of_interest) is not None:
            for reference in references:
                region.check_fits(reference.height_px, reference.width_px)
        self._states.fetch_or_make(domain, references, settings, uploads)
