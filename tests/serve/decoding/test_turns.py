import asyncio
from collections.abc import Awaitable, Callable

import pytest

from serve.decoding.turns import Turns


def run(
    work: Callable[[Turns[str]], Awaitable[None]], *, most_at_once: int = 4, processes: str = "pq"
) -> None:
    async def main() -> None:
        turns = Turns[str](100, free_below=10, most_at_once=most_at_once)
        for process in processes:
            turns.add(process)
        await asyncio.wait_for(work(turns), 30)

    asyncio.run(main())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_needs_little_needs_no_memory_and_the_others_share_it_in_order() -> None:
    async def work(turns: Turns[str]) -> None:
        assert (await turns.take("a", 1, 9))[0].num_bytes == 0
        first, _ = await turns.take("a", 1, 10)
        assert first.num_bytes == 25  # a quarter at least
        second, _ = await turns.take("a", 1, 60)
        assert second.num_bytes == 60
        order: list[int] = []

        async def ask(number: int, num_bytes: int) -> int:
            turn, _ = await turns.take("a", 1, num_bytes)
            order.append(number)
            turns.give_back(turn)
            return turn.num_bytes

        waiting = [asyncio.ensure_future(ask(1, 500)), asyncio.ensure_future(ask(2, 10))]
        await settle()
        small, process = await turns.take("a", 1, 1)
        turns.add(process)
        turns.give_back(small)
        turns.give_back(second)
        await settle()
        assert order == []  # the first needs all of it
        turns.give_back(first)
        assert await asyncio.gather(*waiting) == [100, 25]
        assert order == [1, 2]

    run(work, processes="pqrstu")


def test_who_leaves_makes_room() -> None:
    async def work(turns: Turns[str]) -> None:
        held, process = await turns.take("a", 1, 10)
        first, second, third = (asyncio.ensure_future(turns.take("a", 1, 10)) for _ in range(3))
        await settle()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        turns.give_back(held)
        turns.add(process)
        turn, process = await second
        turns.give_back(turn)
        turns.add(process)
        third.cancel()  # its turn has come already
        with pytest.raises(asyncio.CancelledError):
            await third
        assert turns.count("a") == 0
        assert (await turns.take("a", 1, 10))[0].num_bytes == 100

    run(work, most_at_once=1, processes="p")


@pytest.mark.parametrize("num_bytes", [1, 50])
def test_neither_a_client_nor_a_request_of_many_makes_others_wait_for_all_of_them(num_bytes: int) -> None:
    async def work(turns: Turns[str]) -> None:
        order: list[str] = []

        async def ask(client: str, request: str) -> None:
            turn, process = await turns.take(client, request, num_bytes)
            order.append(request)
            await asyncio.sleep(0.001)
            turns.give_back(turn)
            turns.add(process)

        first, process = await turns.take("a", "many", num_bytes)
        many = [asyncio.ensure_future(ask("a", "many")) for _ in range(20)]
        await settle()
        single = [asyncio.ensure_future(ask("a", f"{i}")) for i in range(20)]
        await settle()
        assert turns.count("a") == 16 + 20  # of many photographs in one request only so many count
        other = asyncio.ensure_future(ask("b", "other"))
        await settle()
        turns.give_back(first)
        turns.add(process)
        await asyncio.gather(*many, *single, other)
        assert order[0] == "other"  # next, whatever the first client has waiting
        assert order.index("19") == 20  # before the request of many has another turn
        assert turns.count("a") == 0

    run(work, processes="p")
