"""A thread that tells for how long it has been at a call."""

import asyncio
import threading

from serve.replicas.watched_thread import WatchedThread


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_it_is_stuck_once_a_call_takes_longer_than_it_may() -> None:
    clock, go, at_it = Clock(), threading.Event(), threading.Event()
    thread = WatchedThread("test", clock=clock)

    def hang(extra_s: float) -> str:
        if extra_s:
            thread.allow(extra_s)
        at_it.set()
        assert go.wait(20)
        return "done"

    async def ask() -> None:
        assert not thread.is_stuck(0)
        for extra_s in (0.0, 100.0):
            go.clear()
            at_it.clear()
            running = asyncio.create_task(thread.run(hang, extra_s))
            await asyncio.to_thread(at_it.wait, 20)
            began_s = clock.now_s
            clock.now_s = began_s + 30 + extra_s
            assert not thread.is_stuck(30)
            clock.now_s += 0.1
            assert thread.is_stuck(30)
            go.set()
            assert await running == "done"
            assert not thread.is_stuck(30)

    asyncio.run(ask())


def test_what_waits_is_not_begun_once_nobody_asks_any_more() -> None:
    thread, go, begun = WatchedThread("test"), threading.Event(), []

    async def ask() -> None:
        first = asyncio.create_task(thread.run(go.wait, 20))
        second = asyncio.create_task(thread.run(begun.append, 1))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.sleep(0)
        go.set()
        await first
        await thread.run(lambda: None)

    asyncio.run(ask())
    assert begun == []
