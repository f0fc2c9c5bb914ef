"""Batches that form by themselves: what waits while every worker is busy is the next batch.

Nothing waits when a worker is free, so one client pays nothing for it; under load the batches grow as
long as the queue does. The ingress puts the questions of many requests into one call by it, and a scorer
what many ingresses send into one pass through the network.
"""

import asyncio
import collections
import contextlib
import contextvars
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

_Q = TypeVar("_Q")
_A = TypeVar("_A")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_ALONE_AFTER = 2
"""Losses after which a question travels alone: if it kills whoever takes it, it takes no other with it."""


@dataclasses.dataclass(eq=False, slots=True)
class _Waiting(Generic[_Q, _A]):
    question: _Q
    answer: "asyncio.Future[_A]"
    num_losses: int = 0


class Batcher(Generic[_Q, _A]):
    """A queue of questions in front of `run`, which answers a batch of them in order; one event loop."""

    def __init__(
        self,
        run: Callable[[Sequence[_Q]], Awaitable[Sequence[_A]]],
        *,
        max_size: int,
        max_running: int = 1,
        wait_s: float = 0.0,
        weigh: Callable[[_Q], int] = lambda question: 0,
        max_weight: int = 0,
        is_lost: Callable[[Exception], bool] = lambda error: False,
        max_losses: int = 0,
    ) -> None:
        """Run batches of at most `max_size`; an incomplete one waits `wait_s` seconds for more.

        With `weigh`, what a batch weighs is at most `max_weight`, or it has one question.

        A batch that fails with what `is_lost` holds of goes back to the front of the queue, until a question
        has lost `max_losses` times.
        """
        self._run = run
        self._max_size = max_size
        self._max_running = max_running
        self._wait_s = wait_s
        self._weigh = weigh
        self._max_weight = max_weight
        self._is_lost = is_lost
        self._max_losses = max_losses
        self._queue: collections.deque[_Waiting[_Q, _A]] = collections.deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def num_waiting(self) -> int:
        """The number of questions not yet begun that somebody still waits for."""
        return sum(not w.answer.done() for w in self._queue)

    async def ask(self, questions: Sequence[_Q]) -> list[_A]:
        """Answer questions in order; when cancelled, those not yet begun are dropped.

        Raises what `run` raised.
        """
        loop = asyncio.get_running_loop()
        waiting = [_Waiting[_Q, _A](q, loop.create_future()) for q in questions]
        self._queue.extend(waiting)
        self._start()
        try:
            return list(await asyncio.gather(*(w.answer for w in waiting)))
        finally:
            for w in waiting:
                w.answer.cancel()

    def _start(self, *, waited: bool = False) -> None:
        while self._queue and len(self._tasks) < self._max_running:
            if self._wait_s and not waited and len(self._queue) < self._max_size:
                self._wait()
                return
            if batch := self._take_batch():
                # Of no request's context: it holds questions of many, and Serve would take the call for
                # a part of the request in whose context it is made.
                work = self._run_batch(batch)
                task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
                self._tasks.add(task)

    def _wait(self) -> None:
        if self._timer is None:

            def begin() -> None:
                self._timer = None
                self._start(waited=True)

            self._timer = asyncio.get_running_loop().call_later(self._wait_s, begin)

    def _take_batch(self) -> list[_Waiting[_Q, _A]]:
        batch: list[_Waiting[_Q, _A]] = []
        weight = 0
        while self._queue and len(batch) < self._max_size:
            goes_alone = self._queue[0].num_losses >= _ALONE_AFTER
            weight += self._weigh(self._queue[0].question)
            if batch and (goes_alone or weight > self._max_weight):
                break
            waiting = self._queue.popleft()
            if waiting.answer.done():
                weight -= self._weigh(waiting.question)
            else:
                batch.append(waiting)
                if goes_alone:
                    break
        return batch

    async def _run_batch(self, batch: list[_Waiting[_Q, _A]]) -> None:
        task = asyncio.current_task()
        assert task is not None

        def end_if_alone(_: object) -> None:
            if all(w.answer.done() for w in batch):
                task.cancel()

        for w in batch:
            w.answer.add_done_callback(end_if_alone)
        try:
            answers = await self._run([w.question for w in batch])
        except asyncio.CancelledError:  # nobody waits any more, or the loop ends
            for w in batch:
                w.answer.cancel()
        except Exception as error:
            for w in batch:
                w.answer.remove_done_callback(end_if_alone)
            await self._handle_failure(batch, error)
        else:
            for w, answer in zip(batch, answers, strict=True):
                w.answer.remove_done_callback(end_if_alone)
                if not w.answer.done():
                    w.answer.set_result(answer)
        finally:
            self._tasks.discard(task)
            self._start()

    async def _handle_failure(self, batch: list[_Waiting[_Q, _A]], error: Exception) -> None:
        again = []
        for w in batch:
            w.num_losses += 1
            if self._is_lost(error) and w.num_losses <= self._max_losses:
                again.append(w)
            elif not w.answer.done():
                w.answer.set_exception(error)
        if again:
            pause_s = _FIRST_PAUSE_S * 2 ** (max(w.num_losses for w in again) - 1)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(min(pause_s, _LONGEST_PAUSE_S))
            self._queue.extendleft(reversed(again))
