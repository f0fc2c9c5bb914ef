"""What runs in the writer's process: the one writer of the stores, and the drift detector."""

import asyncio
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from dgad.errors import MissingError, UserError
from dgad.references.domain import Change
from dgad.references.store import ReferenceStore
from serve.engine.backend import RecentScores, UnavailableError
from serve.engine.bundle import fetch_bundle
from serve.engine.drift import DriftDetector, ScoreRecord
from serve.engine.freed_memory import FreedMemory
from serve.engine.writes import CreateDomain, DeleteDomain, Enroll, Rollback, SetRegion, Write, unpack_write
from serve.logs import log_to_worker
from serve.replicas.metrics import ServiceMetrics
from serve.replicas.parcels import LostParcel, Parcel, ParcelShelf, Piece
from serve.replicas.watched_thread import WatchedThread
from serve.settings import ServeSettings

logger = logging.getLogger(__name__)

_GRACE_S = 30.0


class WriterReplica:
    """The one replica that writes the stores; made, it finishes what a killed one had begun."""

    def __init__(self, settings: ServeSettings) -> None:
        from serve.engine.store_writer import StoreWriter

        log_to_worker()
        bundle = fetch_bundle(settings.bundle)
        self._writer = StoreWriter(bundle, settings.store, device=settings.device, limits=settings.limits)
        self._store = ReferenceStore(settings.store)
        self._drift = DriftDetector()
        self._shelf = ParcelShelf()
        self._freed = FreedMemory()
        self._metrics = ServiceMetrics(replica="keeper")
        self._num_references = {d: len(self._store.head(d).references) for d in self._store.domains()}
        self._count()
        # One thread: writes of one domain must follow each other, and each uses the whole machine.
        self._thread = WatchedThread("write", initializer=_use_all_cores)
        self._timeout_s = settings.enrolment_timeout_s

    async def receive(self, key: str, number: int, piece: Piece) -> None:
        """Keep a piece of the photographs of the enrolment that follows."""
        self._shelf.put(key, number, piece)

    async def write(
        self,
        action: str,
        arguments: Mapping[str, Any],
        *,
        is_retry: bool = False,
        parcel: Parcel | None = None,
    ) -> Any:
        """Carry out what `serve.engine.writes.pack_write` packed: the change made, or the user's mistake.

        `parcel`: the photographs of the enrolment, which came before; `LostParcel` where some did not.

        `is_retry`: a writer died with the same write, which it may have carried out already. An enrolment
        is known by its idempotency key; the others by what the log says last.
        """
        change = unpack_write(action, arguments)
        if parcel is not None and isinstance(change, Enroll):
            blobs = self._shelf.take(parcel)
            if blobs is None:
                return LostParcel()
            change = _fill(change, blobs)
            del blobs
        try:
            if is_retry and (done := self._find_done(change)) is not None:
                return done
            answer: Any = await self._thread.run(self._writer.carry_out, change)
        except UserError as error:
            return error
        finally:
            if isinstance(change, Enroll):
                self._freed.note_work(sum(3 * u.width_px * u.height_px for u in change.uploads))
        if isinstance(change, DeleteDomain):
            self._drift.forget(change.domain)
            self._num_references.pop(change.domain, None)
        else:
            self._num_references[change.domain] = await asyncio.to_thread(
                self._current_references, change.domain
            )
        self._count()
        return answer

    async def check_health(self) -> None:
        """Raises where Serve should replace this replica."""
        if self._thread.is_stuck(self._timeout_s + _GRACE_S):
            raise RuntimeError("The writing thread hangs: its change does not come to an end.")

    async def probe(self) -> str:
        """Give the id of the bundle it enrols with; raises where no change would be made in its time."""
        if self._thread.is_stuck(self._timeout_s):
            raise UnavailableError("The change at hand takes longer than any request waits.")
        return self._writer.bundle_id

    async def recent(self, domain: str) -> RecentScores:
        """How the domain's last scores lie in its calibration, since this replica began."""
        return self._drift.summarise(domain)

    async def record_scores(self, scores: Sequence[ScoreRecord]) -> None:
        """Take into the drift detector what an ingress has answered since its last report."""
        self._drift.add(scores)

    saw = record_scores
    """As an ingress of an earlier version calls it, while a new one is rolled out."""

    def _current_references(self, domain: str) -> int:
        try:
            return len(self._store.head(domain).references)
        except MissingError:  # deleted meanwhile
            return 0

    def _count(self) -> None:
        self._metrics.set_store(
            num_domains=len(self._num_references), num_references=sum(self._num_references.values())
        )

    def _find_done(self, change: Write) -> Change | None:
        """The log's last change, where it is this one."""
        log = self._store.log(change.domain)
        if (
            isinstance(change, CreateDomain | SetRegion | Enroll)
            or not log
            or log[-1].author != change.author
        ):
            return None
        last = log[-1]
        if isinstance(change, DeleteDomain):
            return last if last.is_deleted else None
        if isinstance(change, Rollback):
            return last if last.action == "rollback" and last.version == change.version else None
        wanted = "purge" if change.purge else "remove"
        before = log[-2].references if len(log) > 1 else ()
        was_there = any(r.id == change.reference_id for r in before)
        is_there = any(r.id == change.reference_id for r in last.references)
        # A purge may take what no current version holds; then doing it again is refused as missing.
        return last if last.action == wanted and not is_there and (was_there or wanted == "purge") else None


def _fill(change: Enroll, blobs: Sequence[bytes]) -> Enroll:
    uploads = [dataclasses.replace(u, data=data) for u, data in zip(change.uploads, blobs, strict=True)]
    return dataclasses.replace(change, uploads=uploads)


def _use_all_cores() -> None:
    """In the calling thread; Ray would give it one, since the replica asks for no CPU."""
    import torch

    from cluster.embedded import inspect_machine

    torch.set_num_threads(inspect_machine().num_cpus)
