"""Readiness is asked of those who do the work, seldom, and forgotten as soon as they no longer answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError

from serve.engine.backend import Readiness
from serve.replicas import readiness
from serve.replicas.readiness import ReadinessProbe


class Replica:
    """Answers, hangs or is dead."""

    def __init__(self) -> None:
        self.state = "works"
        self.num_asked = 0

    async def __call__(self) -> str:
        self.num_asked += 1
        if self.state == "hangs":
            await asyncio.sleep(60)
        if self.state == "dead":
            raise ActorUnavailableError("gone", b"0" * 16)
        return "bundle"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_FRESH_S", 0.05)
    monkeypatch.setattr(readiness, "_ANSWER_S", 0.1)


def asking(work: Callable[[ReadinessProbe, Replica, Replica], Awaitable[Any]]) -> None:
    async def run() -> None:
        scorer, writer = Replica(), Replica()
        await work(ReadinessProbe(scorer, writer), scorer, writer)

    asyncio.run(run())


def test_who_is_dead_or_hangs_is_not_ready_and_who_comes_back_is() -> None:
    async def work(probe: ReadinessProbe, scorer: Replica, writer: Replica) -> None:
        for state in ("dead", "hangs"):
            assert await probe.ask() == Readiness(bundle_id="bundle", can_enroll=True)
            scorer.state = state
            await asyncio.sleep(0.06)
            assert await probe.ask() == Readiness(bundle_id=None, can_enroll=True)
            scorer.state, writer.state = "works", state
            await asyncio.sleep(0.06)
            assert await probe.ask() == Readiness(bundle_id="bundle", can_enroll=False)
            writer.state = "works"
            await asyncio.sleep(0.06)

    asking(work)


def test_however_many_ask_the_replicas_are_asked_once() -> None:
    async def work(probe: ReadinessProbe, scorer: Replica, writer: Replica) -> None:
        first = asyncio.create_task(probe.ask())
        await asyncio.sleep(0)
        first.cancel()  # whose client has gone: the others are answered all the same
        answers = await asyncio.gather(*(probe.ask() for _ in range(100)))
        assert all(answer.bundle_id == "bundle" for answer in answers)
        assert (scorer.num_asked, writer.num_asked) == (1, 1)

    asking(work)
