"""Memory that is free inside a process, given back to the system after large photographs.

The C library keeps what was freed for the next time it is asked: after photographs of 20 megapixels that is
some 500 MiB of pieces, which nobody else can use while the service waits for work. To give them back takes
up to a tenth of a second, and to fetch them again as long, so it is not done after every photograph.
"""

import asyncio
import contextvars
import ctypes
from collections.abc import Callable

_LARGE_BYTES = 2 * 2**20
"""Of decoded photographs; what smaller ones leave behind is wanted again at once."""
_AFTER_S = 10.0


class FreedMemory:
    """Gives freed memory back some seconds after it was used for large photographs; of one event loop."""

    def __init__(self, give_back: Callable[[], object] | None = None, *, after_s: float = _AFTER_S) -> None:
        """`give_back`: other than that of the C library, in a thread of its own."""
        self._give_back = give_back or _find_trim()
        self._after_s = after_s
        self._timer: asyncio.TimerHandle | None = None

    def note_work(self, num_bytes: int) -> None:
        """Note that so many bytes of photographs were worked on just now."""
        if self._timer is None and num_bytes >= _LARGE_BYTES:
            loop = asyncio.get_running_loop()
            # Of no request's context, which the timer would keep.
            self._timer = loop.call_later(self._after_s, self._begin, context=contextvars.Context())

    def _begin(self) -> None:
        self._timer = None
        asyncio.get_running_loop().run_in_executor(None, self._give_back)


def _find_trim() -> Callable[[], bool]:
    """The C library's `malloc_trim`, true if it gave any back; never where it has none (macOS, Alpine)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return lambda: False
    return lambda: bool(trim(0))
