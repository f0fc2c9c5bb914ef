"""One thread that works off calls in order, and tells for how long it has been at one."""

import asyncio
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class WatchedThread:
    """A thread beside an event loop, which shows it when a call no longer comes to an end.

    A thread that hangs, in a driver or a lock, cannot be ended; but its process can be replaced.
    """

    def __init__(
        self,
        name: str,
        *,
        initializer: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name, initializer=initializer)
        self._clock = clock
        self._began_at_s: float | None = None
        self._extra_s = 0.0

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call it in the thread, after what waits already; cancelled before it begins, it never does."""
        call = functools.partial(function, *args, **kwargs)
        return await asyncio.wrap_future(self._executor.submit(self._time, call))

    def run_and_wait(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call it in the thread and wait for it, where no event loop runs yet."""
        return self._executor.submit(self._time, functools.partial(function, *args, **kwargs)).result()

    def allow(self, extra_s: float) -> None:
        """From within a call: it may take so much longer than others."""
        self._extra_s += extra_s

    def is_stuck(self, after_s: float) -> bool:
        """Whether it has been at one call for longer than that, and than what `allow` added."""
        began_at_s = self._began_at_s  # the thread may end its call meanwhile
        return began_at_s is not None and self._clock() - began_at_s > after_s + self._extra_s

    def _time(self, call: Callable[[], _T]) -> _T:
        self._extra_s = 0.0
        self._began_at_s = self._clock()
        try:
            return call()
        finally:
            self._began_at_s = None
