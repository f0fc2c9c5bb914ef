"""The backend in one process: batches that form by themselves, and requests that do not harm each other."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dgad.errors import MissingError, UserError
from dgad.references.domain import DomainSettings
from serve.engine.backend import BusyError, Outcome, Query
from serve.engine.in_process import InProcessBackend
from serve.engine.writes import CreateDomain, DeleteDomain, Enroll, RemoveReference, Rollback
from serve.settings import ServeSettings
from tests.serve.support.surfaces import photographs, query, uploads

AUTHOR = "test"
DOMAINS = {"carpet": 12, "grid": 7}


@pytest.fixture(scope="module")
def bundle(trivial_bundle: Path) -> Path:
    return trivial_bundle


class Gate:
    """Holds the scorer (or the writer) inside a call until it is opened, and notes what it was given."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self.original = original
        self.calls: list[Any] = []
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, first: Any, *arguments: Any, **options: Any) -> Any:
        self.calls.append(first)
        self.entered.set()
        assert self.opened.wait(30)
        return self.original(first, *arguments, **options)


Make = Callable[..., InProcessBackend]


@pytest.fixture
def make(bundle: Path, tmp_path: Path) -> Iterator[Make]:
    made: list[InProcessBackend] = []

    def backend(**settings: Any) -> InProcessBackend:
        made.append(
            InProcessBackend(ServeSettings(bundle=str(bundle), store=str(tmp_path), device="cpu", **settings))
        )
        return made[-1]

    yield backend
    for each in made:
        each.close()


async def furnish(backend: InProcessBackend) -> None:
    for name, period in DOMAINS.items():
        await backend.write(CreateDomain(domain=name, settings=DomainSettings(), author=AUTHOR))
        await backend.write(
            Enroll(domain=name, uploads=uploads(photographs(3, period)), author=AUTHOR, idempotency_key=None)
        )


def gated_scorer(backend: InProcessBackend) -> Gate:
    gate = Gate(backend._scorer.score)
    backend._scorer.score = gate  # type: ignore[method-assign]
    return gate


async def entered(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.entered.wait, 30)


def test_what_waits_while_the_scorer_is_busy_is_one_batch_of_any_domains(make: Make) -> None:
    async def main() -> tuple[list[Sequence[Query]], list[list[Outcome]]]:
        backend = make(batch_size=4)
        await furnish(backend)
        gate = gated_scorer(backend)
        data = photographs(1)[0]
        requests = [asyncio.create_task(backend.score([query("carpet", data)]))]
        await entered(gate)
        for name in ("carpet", "grid", "carpet"):
            requests.append(asyncio.create_task(backend.score([query(name, data)] * 2)))
        await asyncio.sleep(0.01)
        gate.opened.set()
        return gate.calls, await asyncio.gather(*requests)

    calls, answers = asyncio.run(main())
    assert [[q.domain for q in batch] for batch in calls] == [
        ["carpet"],
        ["carpet", "carpet", "grid", "grid"],
        ["carpet", "carpet"],
    ]
    carpet, grid = answers[1][0], answers[2][0]
    assert carpet.score == answers[0][0].score == answers[3][1].score != grid.score


def test_a_mistake_in_one_request_is_its_own(make: Make) -> None:
    async def main() -> list[Any]:
        backend = make()
        await furnish(backend)
        data = photographs(1)[0]
        names = ("carpet", "nowhere", "grid")
        return await asyncio.gather(*(backend.score([query(n, data)]) for n in names), return_exceptions=True)

    good, missing, also_good = asyncio.run(main())
    assert isinstance(missing, MissingError)
    assert len(good) == len(also_good) == 1


def test_too_much_waiting_is_refused_and_a_large_request_alone_is_not(make: Make) -> None:
    async def main() -> None:
        backend = make(batch_size=2, max_queued=3)
        await furnish(backend)
        gate = gated_scorer(backend)
        asked = query("carpet", photographs(1)[0])
        first = asyncio.create_task(backend.score([asked]))
        await entered(gate)
        second = asyncio.create_task(backend.score([asked] * 3))
        await asyncio.sleep(0.01)
        with pytest.raises(BusyError, match="3 images wait"):
            await backend.score([asked])
        gate.opened.set()
        assert len(await first) == 1
        assert len(await second) == 3
        assert len(await backend.score([asked] * 7)) == 7

    asyncio.run(main())


def test_a_request_that_timed_out_or_was_given_up_is_never_scored(make: Make) -> None:
    async def main() -> None:
        backend = make()
        await furnish(backend)
        gate = gated_scorer(backend)
        data = photographs(1)[0]
        first = asyncio.create_task(asyncio.wait_for(backend.score([query("carpet", data)]), 2.0))
        await entered(gate)
        given_up = asyncio.create_task(backend.score([query("grid", data)]))
        await asyncio.sleep(0.01)
        given_up.cancel()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(backend.score([query("grid", data)]), 2.0)
        with pytest.raises(TimeoutError):
            await first
        gate.opened.set()
        assert len(await backend.score([query("carpet", data)])) == 1
        assert [q.domain for batch in gate.calls for q in batch] == ["carpet", "carpet"]

    asyncio.run(main())


def test_a_failure_of_ours_reaches_every_request_of_the_batch_and_not_the_next(make: Make) -> None:
    async def main() -> None:
        backend = make()
        await furnish(backend)
        original = backend._scorer.score

        def failing(queries: Sequence[Query]) -> list[Outcome | UserError]:
            backend._scorer.score = original  # type: ignore[method-assign]
            raise RuntimeError("broken")

        backend._scorer.score = failing  # type: ignore[method-assign]
        asked = query("carpet", photographs(1)[0])
        with pytest.raises(RuntimeError, match="broken"):
            await backend.score([asked, asked])
        assert len(await backend.score([asked])) == 1

    asyncio.run(main())


def test_what_is_written_is_read_at_once(make: Make) -> None:
    async def main() -> None:
        backend = make()
        await furnish(backend)
        asked = photographs(1, seed=5)[0]
        files = photographs(3, seed=6)
        seen = []
        for data in files:
            done = await backend.write(
                Enroll(domain="carpet", uploads=uploads([data]), author=AUTHOR, idempotency_key=None)
            )
            (answer,) = await backend.score([query("carpet", asked, sequence=done.sequence)])
            assert answer.version == done.version
            seen.append(answer.num_enrolled)
            threshold = await backend.threshold("carpet", done.sequence)
            assert threshold == answer.threshold
        assert seen == [4, 5, 6]
        added = (await backend.score([query("carpet", asked)]))[0].version
        change = await backend.write(Rollback(domain="carpet", version=1, author=AUTHOR))
        (answer,) = await backend.score([query("carpet", asked, sequence=change.sequence)])
        assert (answer.version, answer.num_enrolled) == (1, 3)
        assert added != 1
        gone = change.references[0].id
        change = await backend.write(
            RemoveReference(domain="carpet", reference_id=gone, purge=True, author=AUTHOR)
        )
        assert gone not in [r.id for r in change.references]
        assert (await backend.describe())["method"] == "trivial"
        assert (await backend.recent("carpet")).num_scores == 1
        await backend.write(DeleteDomain(domain="carpet", author=AUTHOR))
        with pytest.raises(MissingError):
            await backend.threshold("carpet", 0)

    asyncio.run(main())


def test_a_write_that_timed_out_is_carried_out_and_can_be_asked_for_again(make: Make) -> None:
    async def main() -> None:
        backend = make()
        await backend.write(CreateDomain(domain="carpet", settings=DomainSettings(), author=AUTHOR))
        gate = Gate(backend._writer.enroll)
        backend._writer.enroll = gate  # type: ignore[method-assign]

        def enrolling() -> Awaitable[Any]:
            return backend.write(
                Enroll(domain="carpet", uploads=uploads(photographs(2)), author=AUTHOR, idempotency_key="k")
            )

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(enrolling(), 3.0)
        gate.opened.set()
        again = await enrolling()
        assert again.is_repeated
        assert len(again.added) == 2
        assert again.version == 1

    asyncio.run(main())


def test_changes_that_wait_are_bounded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.engine.in_process._MAX_WAITING_WRITES", 2)

    async def main() -> None:
        backend = make()
        gate = Gate(backend._writer.create)
        backend._writer.create = gate  # type: ignore[method-assign]
        waiting = [
            asyncio.create_task(
                backend.write(CreateDomain(domain=name, settings=DomainSettings(), author=AUTHOR))
            )
            for name in ("carpet", "grid")
        ]
        await entered(gate)
        with pytest.raises(BusyError, match="2 changes wait"):
            await backend.write(CreateDomain(domain="tile", settings=DomainSettings(), author=AUTHOR))
        gate.opened.set()
        await asyncio.gather(*waiting)
        await backend.write(CreateDomain(domain="tile", settings=DomainSettings(), author=AUTHOR))

    asyncio.run(main())
