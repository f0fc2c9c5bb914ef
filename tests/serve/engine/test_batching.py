"""What waits while a worker is busy is the next batch; who stops waiting is not worked for."""

import asyncio
from collections.abc import Sequence

import pytest

from serve.engine.batching import Batcher


class Worker:
    """Answers when it is let; notes its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_go = asyncio.Event()
        self.errors: list[Exception] = []
        self.num_cancelled = 0

    async def __call__(self, questions: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(questions))
        if self.errors:
            raise self.errors.pop(0)
        try:
            await self.may_go.wait()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        return [10 * q for q in questions]


def test_what_waits_while_the_worker_is_busy_is_one_batch() -> None:
    async def run() -> None:
        worker = Worker()
        batcher = Batcher[int, int](worker, max_size=4)
        first = asyncio.create_task(batcher.ask([1]))
        await asyncio.sleep(0)
        others = [asyncio.create_task(batcher.ask([q])) for q in range(2, 8)]
        await asyncio.sleep(0.01)
        assert worker.batches == [[1]]
        assert batcher.num_waiting == 6
        worker.may_go.set()
        assert await asyncio.gather(first, *others) == [[10], [20], [30], [40], [50], [60], [70]]
        assert worker.batches == [[1], [2, 3, 4, 5], [6, 7]]

    asyncio.run(run())


def test_an_incomplete_batch_waits_as_long_as_it_is_told() -> None:
    async def run() -> None:
        worker = Worker()
        worker.may_go.set()
        batcher = Batcher[int, int](worker, max_size=3, wait_s=0.05)
        one = asyncio.create_task(batcher.ask([1]))
        await asyncio.sleep(0.01)
        assert worker.batches == []
        two = asyncio.create_task(batcher.ask([2]))
        assert await asyncio.gather(one, two) == [[10], [20]]
        await batcher.ask([3, 4, 5])
        assert worker.batches == [[1, 2], [3, 4, 5]]

    asyncio.run(run())


def test_who_stops_waiting_is_not_worked_for() -> None:
    async def run() -> None:
        worker = Worker()
        batcher = Batcher[int, int](worker, max_size=4)
        running = asyncio.create_task(batcher.ask([1]))
        await asyncio.sleep(0)
        gone, stays = asyncio.create_task(batcher.ask([2])), asyncio.create_task(batcher.ask([3]))
        await asyncio.sleep(0)
        gone.cancel()
        running.cancel()  # all that the running batch is for
        await asyncio.sleep(0.01)
        assert worker.num_cancelled == 1
        worker.may_go.set()
        assert await stays == [30]
        assert worker.batches == [[1], [3]]

    asyncio.run(run())


def test_a_lost_batch_is_asked_again_and_a_question_that_loses_often_goes_alone() -> None:
    async def run() -> None:
        worker = Worker()
        worker.may_go.set()
        worker.errors = [OSError("gone"), OSError("gone")]
        batcher = Batcher[int, int](
            worker, max_size=4, is_lost=lambda error: isinstance(error, OSError), max_losses=3
        )
        assert await batcher.ask([1, 2]) == [10, 20]
        assert worker.batches == [[1, 2], [1, 2], [1], [2]]

    asyncio.run(run())


def test_what_is_lost_too_often_or_fails_otherwise_is_raised() -> None:
    async def run() -> None:
        worker = Worker()
        worker.may_go.set()
        worker.errors = [OSError("gone"), OSError("still gone"), ValueError("wrong")]
        batcher = Batcher[int, int](
            worker, max_size=4, is_lost=lambda error: isinstance(error, OSError), max_losses=1
        )
        with pytest.raises(OSError, match="still gone"):
            await batcher.ask([1])
        with pytest.raises(ValueError, match="wrong"):
            await batcher.ask([1])
        assert await batcher.ask([1]) == [10]

    asyncio.run(run())
