"""A store in memory and a backend over it: HTTP can be tested without a model."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dgad.errors import ConflictError, MissingError
from dgad.provenance import utc_now
from dgad.references.domain import Change, DomainSettings, Enrolment, Reference, Upload, Version
from serve.engine.backend import Outcome, Query, Readiness, RecentScores, Region, Threshold
from serve.engine.writes import pack_write

IMAGE_SIZE_PX = 64
BUNDLE_ID = "b" * 32


class FakeStore:
    """The reading side, and what the backend below writes."""

    def __init__(self) -> None:
        self.changes: dict[str, list[Change]] = {}
        self.images: dict[tuple[str, str], bytes] = {}

    def domains(self) -> tuple[str, ...]:
        return tuple(sorted(name for name, log in self.changes.items() if not log[-1].is_deleted))

    def forget(self) -> None:
        pass

    def head(self, domain: str) -> Change:
        if domain not in self.domains():
            raise MissingError(f"There is no domain {domain!r}; PUT /v1/domains/{domain} makes it.")
        return self.changes[domain][-1]

    def log(self, domain: str) -> tuple[Change, ...]:
        self.head(domain)
        return tuple(self.changes[domain])

    def versions(self, domain: str) -> tuple[Version, ...]:
        current = self.head(domain).version
        found = {c.version: c for c in reversed(self.log(domain)) if c.version}
        return tuple(
            Version(
                number=number,
                created_at=change.made_at,
                author=change.author,
                references=tuple(r for r in change.references if (domain, r.id) in self.images),
                num_purged=sum((domain, r.id) not in self.images for r in change.references),
                is_current=number == current,
                region=change.settings.region,
            )
            for number, change in sorted(found.items())
        )

    def image(self, domain: str, reference_id: str) -> bytes:
        self.head(domain)
        try:
            return self.images[domain, reference_id]
        except KeyError:
            raise MissingError(f"There is no reference {reference_id} in {domain!r}.") from None


class FakeBackend:
    """Scores by brightness: an image brighter than the references' mean by more than 20 is abnormal."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.error: Exception | None = None
        """Raised by every score, to see what HTTP makes of it."""
        self.has_maps = True
        self.readiness = Readiness(bundle_id=BUNDLE_ID, can_enroll=True)
        self.queries: list[Query] = []

    async def score(self, queries: Sequence[Query]) -> list[Outcome]:
        if self.error is not None:
            raise self.error
        self.queries = list(queries)
        return [await self._outcome(query) for query in queries]

    async def write(self, change: Any) -> Any:
        action, arguments = pack_write(change)
        return await getattr(self, f"_{action}")(author=arguments.pop("by"), **arguments)

    async def _create(self, domain: str, settings: DomainSettings, *, author: str) -> Change:
        try:
            head: Change | None = self.store.head(domain)
        except MissingError:
            head = None
        if head is not None and head.settings == settings:
            return head
        return self._append(
            domain, "create" if head is None else "settings", author, settings=settings, anew=head is None
        )

    async def _region(self, domain: str, region: Any, *, author: str) -> Change:
        head = self.store.head(domain)
        if head.settings.region == region:
            return head
        settings = dataclasses.replace(head.settings, region=region)
        return self._append(domain, "region", author, settings=settings, references=head.references)

    async def _enroll(
        self, domain: str, uploads: Sequence[Upload], *, author: str, idempotency_key: str | None
    ) -> Enrolment:
        head = self.store.head(domain)
        key = idempotency_key and hashlib.sha256(idempotency_key.encode()).hexdigest()
        body = hashlib.sha256(b"".join(u.data for u in uploads)).hexdigest()
        for change in self.store.log(domain):
            if key is not None and change.details.get("idempotency_key") == key:
                if change.details["body"] != body:
                    raise ConflictError("This Idempotency-Key was used for other photographs; use another.")
                added = tuple(r for r in change.references if r.id in change.details["added"])
                return Enrolment(
                    version=change.version,
                    sequence=head.sequence,
                    added=added,
                    already_there=(),
                    is_repeated=True,
                )
        there = {reference.id for reference in head.references}
        new = {}
        for upload in uploads:
            reference_id = hashlib.sha256(upload.data).hexdigest()
            if reference_id in there:
                continue
            new[reference_id] = Reference(
                id=reference_id,
                name=upload.name,
                num_bytes=len(upload.data),
                width_px=upload.width_px,
                height_px=upload.height_px,
                added_at=utc_now(),
            )
            self.store.images[domain, reference_id] = upload.data
        ids = [hashlib.sha256(u.data).hexdigest() for u in uploads]
        already = tuple(i for i in ids if i in there)
        if not new:
            return Enrolment(version=head.version, sequence=head.sequence, added=(), already_there=already)
        details = {"added": list(new), "idempotency_key": key, "body": body}
        references = (*head.references, *new.values())
        change = self._append(domain, "enroll", author, references=references, details=details)
        return Enrolment(
            version=change.version,
            sequence=change.sequence,
            added=tuple(new.values()),
            already_there=already,
        )

    async def _remove(self, domain: str, reference_id: str, *, purge: bool, author: str) -> Change:
        self.store.image(domain, reference_id)
        if purge:
            del self.store.images[domain, reference_id]
        kept = tuple(r for r in self.store.head(domain).references if r.id != reference_id)
        return self._append(domain, "purge" if purge else "remove", author, references=kept)

    async def _rollback(self, domain: str, version: int, *, author: str) -> Change:
        for change in self.store.log(domain):
            if change.version == version:
                return self._append(domain, "rollback", author, references=change.references, version=version)
        raise MissingError(f"{domain!r} has no version {version}.")

    async def _delete(self, domain: str, *, author: str) -> Change:
        self.store.images = {k: v for k, v in self.store.images.items() if k[0] != domain}
        return self._append(domain, "delete", author, references=(), is_deleted=True)

    async def threshold(self, domain: str, sequence: int) -> Threshold | None:
        count = len(self.store.head(domain).references)
        if count == 0:
            return None
        is_enough = count > 1
        return Threshold(
            value=20.0 if is_enough else None,
            false_alarm_rate=1 / (count + 1) if is_enough else None,
            lowest_rate=1 / (count + 1) if is_enough else None,
            guarantee="approximate" if is_enough else "none",
            scheme="leave_one_out" if is_enough else "none",
            num_compared=count,
            num_calibration=count if is_enough else 0,
        )

    async def recent(self, domain: str) -> RecentScores:
        return RecentScores(num_scores=0, is_drifting=False, reason="")

    async def describe(self) -> Mapping[str, Any]:
        return {
            "bundle_id": BUNDLE_ID,
            "method": "patch_knn",
            "title": "Nearest patch",
            "scale": f"squash {IMAGE_SIZE_PX}",
            "tile_px": 256,
            "image_size_px": IMAGE_SIZE_PX,
            "device": "cpu",
            "created_at": "2026-01-05T08:00:00+00:00",
            "training_domains": ["grid", "wood"],
            "metrics": {"image_auroc": 0.9},
        }

    async def check_ready(self) -> Readiness:
        return self.readiness

    async def _outcome(self, query: Query) -> Outcome:
        head = self.store.head(query.domain)
        threshold = await self.threshold(query.domain, head.sequence)
        assert threshold is not None
        grey = query.image.mean(axis=0, dtype=np.float32)
        score = float(grey.mean())
        verdict: Any = "uncalibrated"
        if threshold.value is not None:
            verdict = "abnormal" if score > 100 + threshold.value else "normal"
        return Outcome(
            score=score,
            p_value=None if threshold.value is None else 0.5,
            verdict=verdict,
            threshold=threshold,
            levels=(score, score / 2),
            regions=(Region(x=1, y=2, width=3, height=4, score=score),),
            heat=grey if query.wants_map and self.has_maps else None,
            heat_low=0.0,
            heat_high=255.0,
            version=head.version,
            bundle_id=BUNDLE_ID,
            num_enrolled=len(head.references),
        )

    def _append(self, domain: str, action: Any, author: str, *, anew: bool = False, **changed: Any) -> Change:
        log = self.store.changes.setdefault(domain, [])
        highest = max((c.version for c in log), default=0)
        if not log or anew:
            base = Change(
                sequence=len(log) + 1,
                action=action,
                made_at=utc_now(),
                author=author,
                settings=DomainSettings(),
                version=0,
                references=(),
            )
        else:
            base = log[-1]
        if "references" in changed and not changed.get("is_deleted"):
            changed.setdefault("version", highest + 1)
        created_at = base.details.get("created_at", base.made_at)
        change = dataclasses.replace(
            base,
            sequence=len(log) + 1,
            action=action,
            made_at=utc_now(),
            author=author,
            details={"created_at": created_at, **changed.pop("details", {})},
            **changed,
        )
        log.append(change)
        return change
