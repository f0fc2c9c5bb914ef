"""A backend in one process: one scoring thread behind a queue, one writing thread."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, overload

from dgad.errors import UserError
from dgad.references.domain import Change, Enrolment
from serve.engine.backend import (
    MAX_BATCH_PIXELS,
    Backend,
    BusyError,
    Outcome,
    Query,
    Readiness,
    RecentScores,
    ScaleChangedError,
    Threshold,
    WrongScale,
    count_pixels,
)
from serve.engine.batching import Batcher
from serve.engine.drift import DriftDetector, make_records
from serve.engine.freed_memory import FreedMemory
from serve.engine.scorer import warm_scorer
from serve.engine.store_writer import StoreWriter
from serve.engine.writes import DeleteDomain, DomainWrite, Enroll, Write
from serve.settings import ServeSettings

logger = logging.getLogger(__name__)
_T = TypeVar("_T")

_MAX_WAITING_WRITES = 32
"""Each may take minutes: what waits behind so many would time out anyway."""


class InProcessBackend(Backend):
    """A backend without Ray, for tests, benchmarks and single processes; belongs to one event loop.

    What waits when the scorer gets free is its next batch, up to `batch_size`, whatever requests and domains
    it is of.
    """

    def __init__(self, settings: ServeSettings) -> None:
        """Load and warm the bundle, and finish what a killed writer had begun."""
        self._settings = settings
        # One thread each: a batch, as an enrolment, uses all cores by itself.
        self._score_thread = ThreadPoolExecutor(1, thread_name_prefix="score")
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._scorer = self._score_thread.submit(warm_scorer, settings).result()
        self._writer = StoreWriter(
            settings.bundle, settings.store, device=settings.device, limits=settings.limits
        )
        self._drift = DriftDetector()
        self._freed = FreedMemory()
        self._num_writes = 0
        self._batches = Batcher[Query, Outcome | WrongScale | UserError](
            self._score_batch,
            max_size=settings.batch_size,
            wait_s=settings.batch_wait_ms / 1000,
            weigh=count_pixels,
            max_weight=MAX_BATCH_PIXELS,
        )

    def close(self) -> None:
        """Wait for work that has begun, and cancel what has not."""
        for thread in (self._score_thread, self._write_thread):
            thread.shutdown(wait=True, cancel_futures=True)

    async def score(self, queries: Sequence[Query]) -> list[Outcome]:
        """See `Backend`; a request that finds none waiting may be of any size."""
        waiting, most = self._batches.num_waiting, self._settings.max_queued
        if waiting and waiting + len(queries) > most:
            raise BusyError(
                f"{waiting} images wait to be scored already, and at most {most} may: try again a little"
                " later."
            )
        answers = await self._batches.ask(queries)
        outcomes = []
        for answer in answers:
            if isinstance(answer, WrongScale):  # of the same bundle as ever: only a mistake of ours
                raise ScaleChangedError(answer.scale)
            if isinstance(answer, UserError):
                raise answer
            outcomes.append(answer)
        self._drift.add(make_records(queries[0].domain, outcomes))
        return outcomes

    @overload
    async def write(self, change: DomainWrite) -> Change: ...
    @overload
    async def write(self, change: Enroll) -> Enrolment: ...
    async def write(self, change: Write) -> Change | Enrolment:
        """Carry out `Backend.write` in this process."""
        if self._num_writes >= _MAX_WAITING_WRITES:
            raise BusyError(f"{self._num_writes} changes wait to be made already: try again a little later.")
        self._num_writes += 1
        # Not cancelled with the request: what was begun is carried out, and asking again is safe.
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(self._write_thread, self._writer.carry_out, change)
        writing.add_done_callback(self._end_write)
        done = await asyncio.shield(writing)
        if isinstance(change, Enroll):
            self._freed.note_work(sum(3 * u.width_px * u.height_px for u in change.uploads))
        if isinstance(change, DeleteDomain):
            self._drift.forget(change.domain)
        return done

    async def threshold(self, domain: str, sequence: int) -> Threshold | None:
        """Carry out `Backend.threshold` in this process."""
        return await self._in_score_thread(lambda: self._scorer.threshold(domain, sequence))

    async def recent(self, domain: str) -> RecentScores:
        """Carry out `Backend.recent` in this process."""
        return self._drift.summarise(domain)

    async def describe(self) -> Mapping[str, Any]:
        """Carry out `Backend.describe` in this process."""
        return self._scorer.description

    async def check_ready(self) -> Readiness:
        """Carry out `Backend.check_ready` in this process, in which all of it lives."""
        return Readiness(bundle_id=str(self._scorer.description["bundle_id"]), can_enroll=True)

    async def _score_batch(self, queries: Sequence[Query]) -> Sequence[Outcome | WrongScale | UserError]:
        try:
            return await self._in_score_thread(lambda: self._scorer.score(queries))
        finally:
            self._freed.note_work(sum(query.image.nbytes for query in queries))

    async def _in_score_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._score_thread, work)

    def _end_write(self, done: "asyncio.Future[Any]") -> None:
        self._num_writes -= 1
        if not done.cancelled() and (error := done.exception()) and not isinstance(error, UserError):
            logger.error("a change failed", exc_info=error)
