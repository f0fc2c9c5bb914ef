"""The backend that stands on Ray Serve: scorers and the store writer behind handles, their faults unseen.

Scoring changes nothing, so what a dead scorer had is asked again of another, until the request's time is
over. Only the store writer writes; a write that it took into its grave is asked again too, marked as a retry,
so that it is never carried out twice (`serve.replicas.writer_replica`).
"""

import asyncio
import contextvars
import dataclasses
import logging
import secrets
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar, overload

import grpc
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from dgad.errors import DgadError, UserError
from dgad.references.domain import Change, Enrolment
from serve.engine.backend import (
    BusyError,
    Outcome,
    Query,
    Readiness,
    RecentScores,
    ScaleChangedError,
    Threshold,
    UnavailableError,
    WrongScale,
    count_pixels,
)
from serve.engine.batching import Batcher
from serve.engine.drift import ScoreRecord, make_records
from serve.engine.writes import DomainWrite, Enroll, Write, pack_write
from serve.replicas.losses import MAX_LOSSES, ParcelLostError, ask_again, explain, is_loss
from serve.replicas.metrics import ServiceMetrics
from serve.replicas.parcels import PIECE_BYTES, LostParcel, Parcel, cut
from serve.replicas.readiness import ReadinessProbe
from serve.settings import ServeSettings

logger = logging.getLogger(__name__)
T = TypeVar("T")

_MAX_BATCH_BYTES = 64 * 2**20
"""Of one call to a scorer and its answer: 16 images of 1024 px have 48 MiB, and their heatmaps 64 MiB."""
_RECENT_TIMEOUT_S = 5.0
_REPORT_AFTER_S = 0.5
_MAX_REPORTED = 10_000


class Handle(Protocol):
    """What is used of `ray.serve.handle.DeploymentHandle`."""

    def __getattr__(self, name: str) -> Any:
        """The method of that name, with `remote`."""


class RayBackend:
    """`serve.engine.backend.Backend` over handles; belongs to one event loop."""

    def __init__(
        self,
        settings: ServeSettings,
        scorer: Handle,
        writer: Handle,
        metrics: ServiceMetrics | None = None,
    ) -> None:
        self._settings = settings
        self._metrics = metrics or ServiceMetrics()
        self._scorer = scorer
        self._writer = writer
        self._description: Mapping[str, Any] | None = None
        self._scored: list[ScoreRecord] = []
        self._reporting: asyncio.Task[None] | None = None
        self._readiness = ReadinessProbe(
            lambda: _call(self._scorer, "probe"), lambda: _call(self._writer, "probe")
        )
        self._batches = Batcher[Query, Outcome | WrongScale | UserError](
            self._score_batch,
            max_size=settings.batch_size,
            # Two calls for every scorer that there may be: one that it works on, one that it finds then.
            max_running=2 * settings.max_replicas,
            weigh=_count_bytes,
            max_weight=_MAX_BATCH_BYTES,
            is_lost=is_loss,
            max_losses=MAX_LOSSES,
        )

    async def score(self, queries: Sequence[Query]) -> list[Outcome]:
        """Carry out `Backend.score` by the service's replicas."""
        waiting = self._batches.num_waiting
        if waiting and waiting + len(queries) > self._settings.max_queued:
            raise BusyError(
                f"{waiting} images wait for a scorer already, and at most {self._settings.max_queued} may:"
                " try again a little later."
            )
        asked = asyncio.ensure_future(self._batches.ask(queries))
        self._metrics.set_queue(self._batches.num_waiting)
        try:
            answers = await _await_answer(asked)
        finally:
            self._metrics.set_queue(self._batches.num_waiting)
        outcomes: list[Outcome] = []
        for answer in answers:
            if isinstance(answer, WrongScale):
                self._description = None
                raise ScaleChangedError(answer.scale)
            if isinstance(answer, UserError):
                raise answer
            outcomes.append(answer)
        self._note_scores(queries[0].domain, outcomes)
        self._metrics.count_scores(queries[0].domain, [o.verdict for o in outcomes])
        if self._description is not None and any(
            o.bundle_id != self._description["bundle_id"] for o in outcomes
        ):
            self._description = None
        return outcomes

    @overload
    async def write(self, change: DomainWrite) -> Change: ...
    @overload
    async def write(self, change: Enroll) -> Enrolment: ...
    async def write(self, change: Write) -> Change | Enrolment:
        """See `Backend`; an enrolment without a key of the client's gets one of ours, for retries."""
        if not isinstance(change, Enroll):
            made: Change = await self._write(change)
            return made
        key = change.idempotency_key or f"retry-{secrets.token_hex(16)}"
        try:
            done: Enrolment = await self._write(dataclasses.replace(change, idempotency_key=key))
        except UserError:
            self._metrics.count_enrolment("refused")
            raise
        self._metrics.count_enrolment(
            "repeated" if done.is_repeated else "added" if done.added else "nothing_new"
        )
        return done

    async def threshold(self, domain: str, sequence: int) -> Threshold | None:
        """Carry out `Backend.threshold` by the service's replicas."""
        answer = await self._ask_scorer("threshold", domain, sequence)
        return answer  # type: ignore[no-any-return]

    async def describe(self) -> Mapping[str, Any]:
        """See `Backend`; asked once, and again when answers come from another bundle."""
        if self._description is None:
            self._description = await self._ask_scorer("about")
        return self._description

    async def check_ready(self) -> Readiness:
        """Ask a scorer and the writer, or give what they said within the last second."""
        return await self._readiness.ask()

    async def recent(self, domain: str) -> RecentScores:
        """See `Backend`; nothing is known while the store writer is away."""
        try:
            async with asyncio.timeout(_RECENT_TIMEOUT_S):
                answer = await _call(self._writer, "recent", domain)
        except (TimeoutError, DgadError, RayError, RayServeException, grpc.RpcError):
            return RecentScores(num_scores=0, is_drifting=False, reason="")
        return _raise_mistake(answer)  # type: ignore[no-any-return]

    def _note_scores(self, domain: str, outcomes: Sequence[Outcome]) -> None:
        """Report to the store writer what was scored, a moment later together with what comes until then."""
        self._scored += make_records(domain, outcomes)
        if self._reporting is None or self._reporting.done():
            self._reporting = asyncio.get_running_loop().create_task(
                self._report_scores(), context=contextvars.Context()
            )

    async def _report_scores(self) -> None:
        await asyncio.sleep(_REPORT_AFTER_S)
        scores, self._scored = self._scored[-_MAX_REPORTED:], []
        try:
            async with asyncio.timeout(_RECENT_TIMEOUT_S):
                await _call(self._writer, "record_scores", scores)
        except (TimeoutError, RayError, RayServeException, grpc.RpcError):
            logger.warning("the store writer did not hear of %d scores", len(scores))

    async def _score_batch(self, queries: Sequence[Query]) -> Sequence[Outcome | WrongScale | UserError]:
        return await _call(self._scorer, "score", list(queries))  # type: ignore[no-any-return]

    async def _ask_scorer(self, method: str, *arguments: Any) -> Any:
        asked = ask_again(lambda is_retry: _call(self._scorer, method, *arguments))
        return _raise_mistake(await _await_answer(asked))

    async def _write(self, change: Write) -> Any:
        # Not cancelled with the request: what was begun is carried out, and asking again is safe.
        writing = asyncio.ensure_future(ask_again(lambda is_retry: self._send(change, is_retry)))
        writing.add_done_callback(lambda done: done.cancelled() or done.exception())
        return _raise_mistake(await _await_answer(asyncio.shield(writing)))

    async def _send(self, change: Write, is_retry: bool) -> Any:
        options: dict[str, Any] = {"is_retry": True} if is_retry else {}
        if isinstance(change, Enroll) and sum(len(u.data) for u in change.uploads) > PIECE_BYTES:
            options["parcel"] = await self._send_parcel([u.data for u in change.uploads])
            emptied = [dataclasses.replace(u, data=b"") for u in change.uploads]
            change = dataclasses.replace(change, uploads=emptied)
        answer = await _call(self._writer, "write", *pack_write(change), **options)
        if isinstance(answer, LostParcel):
            raise ParcelLostError
        return answer

    async def _send_parcel(self, blobs: Sequence[bytes]) -> Parcel:
        key, num_pieces = secrets.token_hex(16), 0
        for piece in cut(blobs):
            await _call(self._writer, "receive", key, num_pieces, piece)
            num_pieces += 1
        return Parcel(key=key, num_blobs=len(blobs), num_pieces=num_pieces)


def _count_bytes(query: Query) -> int:
    """What a query weighs, or its answer if that is more."""
    return max(query.image.nbytes, 4 * count_pixels(query) if query.wants_map else 0)


async def _await_answer(work: Awaitable[T]) -> T:
    """The answer of a replica; `UnavailableError` where none gives one. Whoever asks sets the deadline."""
    try:
        return await work
    except RayTaskError as error:  # a bug of ours, whose traceback is in the replica's log
        logger.exception("a replica failed")
        raise UnavailableError(
            f"A replica failed at it ({type(error.cause).__name__}); its log says how."
        ) from None
    except (RayError, RayServeException, grpc.RpcError) as error:
        raise explain(error) from None


def _raise_mistake(answer: Any) -> Any:
    if isinstance(answer, UserError):
        raise answer
    return answer


async def _call(handle: Handle, method: str, *arguments: Any, **options: Any) -> Any:
    """The answer of a replica, in no request's context; the call is cancelled with the caller."""

    async def ask() -> Any:
        response = getattr(handle, method).remote(*arguments, **options)
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()
            raise

    return await _in_own_context(ask())


async def _in_own_context(work: Coroutine[Any, Any, T]) -> T:
    """Await it outside of the context of the request that is being answered.

    In that context Serve hands back the answers of other replicas undecoded, taking them for what its
    proxy wants (`replica_result.py` of Ray 2.60), and ends calls with the request.
    """
    task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
    try:
        return await task
    except asyncio.CancelledError:
        task.cancel()
        raise
