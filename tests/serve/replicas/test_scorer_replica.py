"""What a scorer's process tells of itself while it is at a large photograph."""

import asyncio
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from serve.engine.backend import Query, UnavailableError
from serve.replicas import scorer_replica
from serve.replicas.scorer_replica import ScorerReplica
from serve.replicas.watched_thread import WatchedThread
from serve.settings import ServeSettings


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class SlowScorer:
    description = {"bundle_id": "b"}  # noqa: RUF012

    def __init__(self) -> None:
        self.at_it, self.go = threading.Event(), threading.Event()

    def score(self, queries: Sequence[Query]) -> list[Any]:
        self.at_it.set()
        assert self.go.wait(20)
        return ["done"]

    def forget_purged(self) -> None:
        pass


def query(side_px: int) -> Query:
    image = np.zeros((3, side_px, side_px), np.uint8)
    size = {"width_px": side_px, "height_px": side_px}
    return Query(domain="d", sequence=0, image=image, scale="native", key="k", wants_map=False, **size)


def test_a_large_photograph_may_take_as_long_as_its_request_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow, clock = SlowScorer(), Clock()
    monkeypatch.setattr(scorer_replica, "log_to_worker", lambda: None)
    metrics = SimpleNamespace(observe_batch=lambda *told: None)
    monkeypatch.setattr(scorer_replica, "ServiceMetrics", lambda: metrics)
    monkeypatch.setattr(scorer_replica, "WatchedThread", lambda name: WatchedThread(name, clock=clock))
    monkeypatch.setattr(ScorerReplica, "_load", lambda self, settings: slow)

    async def ask(side_px: int, patience_s: float) -> None:
        slow.go.clear()
        slow.at_it.clear()
        asked = asyncio.create_task(replica.score([query(side_px)]))
        await asyncio.to_thread(slow.at_it.wait, 20)
        began_s = clock.now_s
        clock.now_s = began_s + patience_s - 1
        assert await replica.probe() == "b"
        clock.now_s = began_s + patience_s + 1
        with pytest.raises(UnavailableError):
            await replica.probe()
        await replica.check_health()  # it is given some more before it is taken for hung
        clock.now_s = began_s + patience_s + 31
        with pytest.raises(RuntimeError, match="hangs"):
            await replica.check_health()
        slow.go.set()
        assert await asked == ["done"]

    async def run() -> None:
        await ask(100, 30.1)
        await ask(2000, 70.0)

    replica = ScorerReplica(ServeSettings(bundle="b", store="s"))
    asyncio.run(run())
