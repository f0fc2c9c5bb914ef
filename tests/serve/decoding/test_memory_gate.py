import asyncio

import pytest

from serve.decoding.memory_gate import MemoryGate


def test_who_needs_little_never_waits_and_the_others_do_in_order() -> None:
    async def run() -> None:
        gate = MemoryGate(100, free_below=10, most_at_once=4)
        assert await gate.take(9) == 0
        assert await gate.take(10) == 25  # a quarter at least
        assert await gate.take(60) == 60
        order: list[int] = []

        async def ask(number: int, num_bytes: int) -> int:
            taken = await gate.take(num_bytes)
            order.append(number)
            return taken

        waiting = [asyncio.ensure_future(ask(1, 500)), asyncio.ensure_future(ask(2, 10))]
        await asyncio.sleep(0)
        assert order == []
        assert await gate.take(1) == 0
        gate.give_back(60)
        await asyncio.sleep(0)
        assert order == []  # the first needs all of it
        gate.give_back(25)
        assert await waiting[0] == 100
        gate.give_back(100)
        assert await waiting[1] == 25

    asyncio.run(run())


def test_who_leaves_makes_room() -> None:
    async def run() -> None:
        gate = MemoryGate(100, free_below=10, most_at_once=1)
        assert await gate.take(10) == 100
        first, second = (asyncio.ensure_future(gate.take(10)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        gate.give_back(100)
        assert await second == 100
        third = asyncio.ensure_future(gate.take(10))
        await asyncio.sleep(0)
        gate.give_back(100)
        third.cancel()  # its turn has come already
        with pytest.raises(asyncio.CancelledError):
            await third
        assert await gate.take(10) == 100

    asyncio.run(run())
