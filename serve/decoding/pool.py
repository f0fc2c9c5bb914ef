"""A few decoding processes, and who waits for them."""

import asyncio
import dataclasses
import logging
import os
from collections.abc import Coroutine
from typing import Any, TypeVar

from dgad.errors import ImageError
from serve.decoding.bounds import MOST_BYTES, CpuAllowance, find_need
from serve.decoding.messages import Order, Pixels, RefusedError
from serve.decoding.process import DecodeProcess, ProcessEndedError
from serve.decoding.turns import Turn, Turns
from serve.engine.backend import BusyError
from serve.settings import Limits

_LOG = logging.getLogger("dgad.serve")
_MAX_PROCESSES = 8
_SMALL_BYTES = 32 * 2**20
"""What needs less never waits for what needs more: some 2 million pixels."""
_GRACE_S = 0.5
"""How long a photograph that nobody waits for may go on before its process is ended."""
_RESTART_S = 1.0
T = TypeVar("T")


class DecodePool:
    """Decodes photographs in processes, each bound in memory and CPU time; belongs to one event loop."""

    def __init__(self, limits: Limits, *, max_waiting: int, num_processes: int | None = None) -> None:
        self._limits = limits
        self._max_waiting = max_waiting
        self._num_processes = num_processes or max(2, min(_MAX_PROCESSES, os.cpu_count() or 2))
        # One process is always left to small photographs.
        self._turns = Turns[DecodeProcess](
            MOST_BYTES, free_below=_SMALL_BYTES, most_at_once=max(1, self._num_processes - 1)
        )
        self._all: set[DecodeProcess] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._started: asyncio.Task[None] | None = None
        self._is_closed = False

    async def start(self) -> None:
        """Returns once there are processes to ask; called again, at once."""
        if self._started is None:
            self._started = asyncio.ensure_future(self._start_all())
        await asyncio.shield(self._started)

    @property
    def pids(self) -> list[int]:
        """Numbers of its processes."""
        return sorted(process.pid for process in self._all)

    def check_is_free(self, client: str = "") -> None:
        """`BusyError` while as much of a client waits as may; one request may then bring what is allowed."""
        if self._turns.count(client) >= self._max_waiting:
            raise BusyError(
                "More of your photographs wait to be decoded than can be answered in time; try again."
            )

    async def decode(
        self,
        data: bytes,
        name: str,
        allowance: CpuAllowance,
        *,
        scale: str = "",
        picture_px: int = 0,
        wants_thumbnail: bool = False,
        bit_depth: int | None = None,
    ) -> Pixels:
        """The photograph's pixels; `ImageError` where it is none, or takes more than it may.

        Where nobody waits for it any more, its process is freed within half a second.
        """
        need = find_need(data)
        order = Order(
            name=name,
            num_bytes=len(data),
            max_bytes=self._limits.max_image_bytes,
            max_pixels=self._limits.max_pixels,
            scale=scale,
            picture_px=picture_px,
            wants_thumbnail=wants_thumbnail,
            bit_depth=bit_depth,
            max_memory=need.max_bytes,
            max_cpu_s=0.0,
        )
        try:
            await self.start()
            try:
                return await self._decode_once(data, order, allowance, need.num_bytes)
            except ProcessEndedError:  # of its own accord, or killed by the system: the next one may do it
                return await self._decode_once(data, order, allowance, need.num_bytes)
        except ProcessEndedError:
            raise ImageError(
                f"{name} ended the process that decoded it; save it again as a plain JPEG or PNG."
            ) from None

    async def aclose(self) -> None:
        """End the processes, whatever they are at."""
        self._is_closed = True
        for task in (*self._tasks, *([self._started] if self._started else [])):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for process in self._all:
            process.kill()
        self._all.clear()

    async def _decode_once(
        self, data: bytes, order: Order, allowance: CpuAllowance, num_bytes: int
    ) -> Pixels:
        turn, process = await self._turns.take(allowance.client, allowance, num_bytes)
        while process.has_ended:  # while it was idle, so not by this photograph
            self._turns.give_back(turn)
            self._all.discard(process)
            self._begin(self._replace(process))
            turn, process = await self._turns.take(allowance.client, allowance, num_bytes)
        work = self._begin(self._ask(process, data, order, allowance, turn))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            asyncio.get_running_loop().call_later(_GRACE_S, work.cancel)
            raise

    async def _ask(
        self,
        process: DecodeProcess,
        data: bytes,
        order: Order,
        allowance: CpuAllowance,
        turn: Turn[DecodeProcess],
    ) -> Pixels:
        """The answer of a process that is this photograph's alone; gives it and the memory back."""
        is_usable = True
        order = dataclasses.replace(order, max_cpu_s=allowance.left_s)
        try:
            if not order.max_cpu_s:
                raise _refuse_work(order.name, allowance)
            pixels, cpu_s = await process.decode(order, data)
            allowance.spend(cpu_s)
            return pixels
        except RefusedError as refused:
            allowance.spend(refused.cpu_s)
            raise ImageError(str(refused)) from None
        except ProcessEndedError as ended:
            is_usable = False
            if not ended.has_run_out_of_time:
                _LOG.warning("a decoding process ended at a photograph of %d bytes", len(data))
                raise
            _LOG.warning("a photograph of %d bytes took all of its request's time to decode", len(data))
            allowance.spend(order.max_cpu_s)
            raise _refuse_work(order.name, allowance) from None
        except BaseException:  # nobody waits for it any more
            is_usable = order.max_cpu_s == 0
            raise
        finally:
            self._turns.give_back(turn)
            if is_usable:
                self._turns.add(process)
            else:
                self._all.discard(process)
                self._begin(self._replace(process))

    async def _start_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._num_processes):
                group.create_task(self._add())

    async def _add(self) -> None:
        process = await DecodeProcess.start()
        self._all.add(process)
        self._turns.add(process)

    async def _replace(self, process: DecodeProcess) -> None:
        await asyncio.to_thread(process.kill)  # giving its memory back may take a while
        while not self._is_closed:
            try:
                return await self._add()
            except (
                OSError,
                TimeoutError,
            ) as error:  # there may be too many processes for a while
                _LOG.error("a decoding process cannot be started (%s)", error)
                await asyncio.sleep(_RESTART_S)

    def _begin(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # told to whoever waited, if anybody did


def _refuse_work(name: str, allowance: CpuAllowance) -> ImageError:
    return ImageError(
        f"{name} takes more than {allowance.total_s:.1f} s to decode, with what was sent beside it; save it"
        " again as a plain JPEG or PNG, or send fewer at a time."
    )
