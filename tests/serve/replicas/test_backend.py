"""The backend over handles: what dies is asked again, what waits too long is not, nothing is done twice."""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from ray.exceptions import ActorUnavailableError

from dgad.errors import MissingError
from dgad.references.domain import Enrolment, Upload
from serve.engine.backend import (
    BusyError,
    Outcome,
    Query,
    ScaleChangedError,
    Threshold,
    TooLargeError,
    UnavailableError,
    WrongScale,
)
from serve.engine.writes import Enroll
from serve.replicas.backend import RayBackend
from serve.replicas.parcels import PIECE_BYTES, LostParcel, Parcel, ParcelShelf
from serve.settings import ServeSettings
from tests.serve.support.surfaces import photographs, query

SETTINGS = ServeSettings(bundle="b", store="s", max_queued=4, batch_size=2, request_timeout_s=2.0)


THRESHOLD = Threshold(
    value=None,
    false_alarm_rate=None,
    lowest_rate=None,
    guarantee="none",
    scheme="none",
    num_compared=1,
    num_calibration=0,
)


def outcome_of(query: Query) -> Outcome:
    return Outcome(
        score=float(query.image.mean()),
        p_value=None,
        verdict="uncalibrated",
        threshold=THRESHOLD,
        levels=(),
        regions=(),
        heat=None,
        heat_low=0.0,
        heat_high=1.0,
        version=1,
        bundle_id="x",
        num_enrolled=1,
    )


def loss() -> Exception:
    return ActorUnavailableError("gone", b"0" * 16)


class Handle:
    """A deployment whose methods are functions; an exception among its troubles comes first."""

    def __init__(self, **methods: Callable[..., Any]) -> None:
        self.methods = methods
        self.troubles: list[Exception] = []
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.num_cancelled = 0

    def __getattr__(self, name: str) -> Any:
        return Method(self, name)


class Method:
    def __init__(self, handle: Handle, name: str) -> None:
        self.handle, self.name = handle, name

    def remote(self, *arguments: Any, **options: Any) -> "Response":
        self.handle.calls.append((self.name, arguments, options))
        return Response(self.handle, self.name, arguments, options)


class Response:
    def __init__(
        self, handle: Handle, name: str, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self.handle, self.name, self.arguments = handle, name, arguments
        self.options = {k: v for k, v in options.items() if k != "is_retry"}

    def __await__(self) -> Any:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        await asyncio.sleep(0)
        if self.handle.troubles:
            raise self.handle.troubles.pop(0)
        answer = self.handle.methods[self.name](*self.arguments, **self.options)
        return await answer if asyncio.iscoroutine(answer) else answer

    def cancel(self) -> None:
        self.handle.num_cancelled += 1


def test_a_lost_scorer_is_not_seen_and_a_mistake_of_the_user_is() -> None:
    scorer = Handle(score=lambda queries: [outcome_of(q) for q in queries])
    writer = Handle(record_scores=lambda scores: None)

    async def run() -> None:
        backend = RayBackend(SETTINGS, scorer, writer)
        asked = [query("carpet", data) for data in photographs(2)]
        scorer.troubles = [loss(), loss()]
        assert len(await backend.score(asked)) == 2
        assert len(scorer.calls) >= 3
        scorer.methods["score"] = lambda queries: [MissingError("no such domain")] * len(queries)
        with pytest.raises(MissingError, match="no such domain"):
            await backend.score(asked)

    asyncio.run(run())


def enrolment_of(uploads: list[Upload]) -> Enroll:
    return Enroll(domain="carpet", uploads=uploads, author="local", idempotency_key=None)


class Refused(grpc.RpcError):
    """What gRPC raises, of one code."""

    def __init__(self, code: grpc.StatusCode, details: str = "") -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


@pytest.mark.parametrize(
    ("trouble", "raised", "told"),
    [
        (
            Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (5 vs. 4)"),
            TooLargeError,
            "more than the 536,870,912 bytes",
        ),
        (Refused(grpc.StatusCode.INVALID_ARGUMENT), UnavailableError, r"refuses .*INVALID_ARGUMENT"),
        (Refused(grpc.StatusCode.UNAUTHENTICATED), UnavailableError, r"refuses .*UNAUTHENTICATED"),
    ],
)
def test_what_a_living_replica_refuses_is_no_loss(
    trouble: Exception, raised: type[Exception], told: str
) -> None:
    scorer, writer = Handle(), Handle()

    async def run() -> None:
        backend = RayBackend(SETTINGS, scorer, writer)
        scorer.troubles, writer.troubles = [trouble], [trouble]
        with pytest.raises(raised, match=told):
            await backend.score([query("carpet", photographs(1)[0])])
        with pytest.raises(raised, match=told):
            await backend.write(enrolment_of([]))
        assert len(scorer.calls) == len(writer.calls) == 1, "asked once"

    asyncio.run(run())


def test_what_grpc_says_of_a_dead_replica_is_a_loss() -> None:
    scorer = Handle(score=lambda queries: [outcome_of(q) for q in queries])

    async def run() -> None:
        backend = RayBackend(SETTINGS, scorer, Handle(record_scores=lambda scores: None))
        scorer.troubles = [Refused(grpc.StatusCode.UNAVAILABLE), Refused(grpc.StatusCode.CANCELLED)]
        assert len(await backend.score([query("carpet", photographs(1)[0])])) == 1

    asyncio.run(run())


def test_a_large_enrolment_goes_in_pieces_and_again_where_the_writer_died() -> None:
    done = Enrolment(version=1, sequence=2, added=(), already_there=())
    shelf, came = ParcelShelf(), []
    files = [bytes([i]) * size for i, size in enumerate((10, 5 * PIECE_BYTES // 2, 0, PIECE_BYTES))]
    uploads = [Upload(name=f"{i}", data=data, width_px=1, height_px=1) for i, data in enumerate(files)]

    async def write(action: str, arguments: dict[str, Any], parcel: Parcel | None = None) -> Any:
        assert not any(u.data for u in arguments["uploads"])
        came.append(parcel and shelf.take(parcel))
        return LostParcel() if came[-1] is None else done

    writer = Handle(write=write, receive=shelf.put)

    async def run() -> None:
        backend = RayBackend(SETTINGS, Handle(), writer)
        writer.troubles = [loss()]  # the first piece is lost with who took it
        assert await backend.write(enrolment_of(uploads)) == done
        assert came == [files]
        pieces = [arguments[2] for name, arguments, _ in writer.calls if name == "receive"]
        assert max(sum(len(part) for _, part in piece) for piece in pieces) == PIECE_BYTES
        shelf.take = lambda parcel, take=shelf.take: (take(parcel) and len(came) > 1 and files) or None  # type: ignore[method-assign]
        assert await backend.write(enrolment_of(uploads)) == done
        assert came[1:] == [None, files], "a new writer lacks the pieces, and gets them again"

    asyncio.run(run())


def test_a_batch_is_bounded_by_its_bytes_too() -> None:
    scorer = Handle(score=lambda queries: [outcome_of(q) for q in queries])
    settings = dataclasses.replace(SETTINGS, batch_size=100, max_queued=100)
    large = dataclasses.replace(
        query("carpet", photographs(1)[0]), image=np.zeros((3, 2048, 2048), np.uint8), wants_map=True
    )

    async def run() -> None:
        backend = RayBackend(settings, scorer, Handle(record_scores=lambda scores: None))
        assert len(await backend.score([large] * 9)) == 9
        sizes = [len(arguments[0]) for _, arguments, _ in scorer.calls]
        assert sizes == [4, 4, 1], "16 MiB of heatmap each"

    asyncio.run(run())


def test_when_nobody_answers_it_says_so() -> None:
    scorer = Handle()

    async def run() -> None:
        backend = RayBackend(dataclasses.replace(SETTINGS, request_timeout_s=60.0), scorer, Handle())
        scorer.troubles = [loss() for _ in range(50)]
        with pytest.raises(UnavailableError, match="No replica answers"):
            await backend.score([query("carpet", photographs(1)[0])])

    asyncio.run(run())


def test_what_waits_is_bounded_and_ends_in_time() -> None:
    async def never(queries: Any) -> list[Outcome]:
        await asyncio.sleep(3600)
        return []

    scorer = Handle(score=never)

    async def run() -> None:
        backend = RayBackend(SETTINGS, scorer, Handle())
        one = [query("carpet", photographs(1)[0])]
        waiting = [asyncio.create_task(asyncio.wait_for(backend.score(one), 2.0)) for _ in range(6)]
        await asyncio.sleep(0.05)  # two calls are out, each with one; four wait
        with pytest.raises(BusyError, match="4 images wait"):
            await backend.score(one)
        for task in waiting:
            with pytest.raises(TimeoutError):
                await task
        await asyncio.sleep(0.05)
        assert scorer.num_cancelled == len(scorer.calls) == 2, "what nobody waits for is cancelled"

    asyncio.run(run())


def test_a_write_is_asked_again_as_a_retry_with_the_same_key() -> None:
    done = Enrolment(version=1, sequence=2, added=(), already_there=())
    writer = Handle(write=lambda action, arguments: done)

    async def run() -> None:
        backend = RayBackend(SETTINGS, Handle(), writer)
        writer.troubles = [loss()]
        assert (
            await backend.write(Enroll(domain="carpet", uploads=[], author="local", idempotency_key=None))
            == done
        )
        (_, (_, first), once), (_, (_, second), again) = writer.calls
        assert first["idempotency_key"] == second["idempotency_key"] is not None
        assert (once, again) == ({}, {"is_retry": True})

    asyncio.run(run())


def test_a_bundle_for_other_images_is_said_and_asked_for_again() -> None:
    scorer = Handle(
        score=lambda queries: [WrongScale(scale="native")] * len(queries),
        about=lambda: {"bundle_id": "x", "scale": "squash 64"},
    )

    async def run() -> None:
        backend = RayBackend(SETTINGS, scorer, Handle())
        await backend.describe()
        await backend.describe()
        with pytest.raises(ScaleChangedError) as raised:
            await backend.score([query("carpet", photographs(1)[0])])
        assert raised.value.scale == "native"
        await backend.describe()
        assert [name for name, _, _ in scorer.calls] == ["about", "score", "about"]

    asyncio.run(run())
