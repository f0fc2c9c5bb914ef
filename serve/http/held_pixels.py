"""How much of decoded photographs one ingress holds, however many clients send large ones."""

import asyncio
import collections
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

from dgad.domains.geometry import MAX_SCALED_PIXELS, Geometry
from dgad.domains.headers import read_size
from serve.decoding.bounds import find_need

MAX_HELD_BYTES = 512 * 2**20
"""Of one ingress: two photographs of 64 megapixels at native scale, or eight of 20."""
_MAX_GROUP_BYTES = 128 * 2**20
"""Expected of the photographs of one request that are decoded, scored and drawn together."""
_SMALL_BYTES = 4 * 2**20
"""What holds less never waits for what holds more."""
T = TypeVar("T")


class Hold:
    """A share of what may be held."""

    def __init__(self, num_bytes: int, give_back: Callable[[int], None]) -> None:
        self.num_bytes = num_bytes
        self._give_back = give_back

    def shrink(self, num_bytes: int) -> None:
        """Hold so much at most from now on: what was expected is more than what came."""
        spare = max(0, self.num_bytes - num_bytes)
        self.num_bytes -= spare
        self._give_back(spare)


class HeldPixels:
    """Bytes of decoded photographs, for those who wait their turn at them; belongs to one event loop."""

    def __init__(
        self, max_bytes: int = MAX_HELD_BYTES, *, on_release: Callable[[int], None] = lambda num_bytes: None
    ) -> None:
        """`on_release` hears how many bytes were held each time that they no longer are."""
        self._max_bytes = max_bytes
        self._on_release = on_release
        self._num_held = 0
        self._waiting: collections.deque[tuple[int, asyncio.Future[None]]] = collections.deque()

    @property
    def num_bytes(self) -> int:
        """Bytes that are held at this moment."""
        return self._num_held

    @asynccontextmanager
    async def hold(self, num_bytes: int) -> AsyncIterator[Hold]:
        """Hold so much, or all there is, once it is free; first come, first served."""
        wanted = min(num_bytes, self._max_bytes)
        if wanted < _SMALL_BYTES:
            self._num_held += wanted
        else:
            await self._wait(wanted)
        held = Hold(wanted, self._give_back)
        try:
            yield held
        finally:
            held.shrink(0)
            self._on_release(wanted)

    async def _wait(self, wanted: int) -> None:
        came: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (wanted, came)
        self._waiting.append(waiting)
        self._let_in()
        try:
            await came
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
                self._let_in()
            else:  # its turn came at the same moment
                self._give_back(wanted)
            raise

    def _give_back(self, num_bytes: int) -> None:
        self._num_held -= num_bytes
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._num_held + self._waiting[0][0] <= self._max_bytes:
            wanted, came = self._waiting.popleft()
            self._num_held += wanted
            came.set_result(None)


def expect_bytes(data: bytes, scale: str, picture_px: int) -> int:
    """What a photograph holds once it is decoded, at most; by its header, for nothing is decoded yet."""
    whole = find_need(data).num_bytes  # at least 4 bytes a pixel, where 3 are held
    parsed = Geometry(scale=scale).parsed_scale
    if parsed.kind in ("fit", "squash"):
        scaled = 3 * int(parsed.amount) ** 2
    else:
        scaled = round(whole * max(1.0, parsed.amount) ** 2)
    return scaled + min(whole, 3 * picture_px**2)


def expect_pixels(data: bytes, scale: str) -> int:
    """Scaled pixels of a photograph, by the size that its header claims; no more than may be decoded."""
    width, height = read_size(data)
    if not width or not height:
        return 0
    scaled = Geometry(scale=scale).scaled_size(height, width)
    return min(scaled[0] * scaled[1], MAX_SCALED_PIXELS)


def group(items: Iterable[tuple[T, int]], max_bytes: int = _MAX_GROUP_BYTES) -> Iterator[tuple[list[T], int]]:
    """Cut what is expected to hold so many bytes each into groups that hold little enough, in order."""
    members: list[T] = []
    total = 0
    for item, num_bytes in items:
        if members and total + num_bytes > max_bytes:
            yield members, total
            members, total = [], 0
        members.append(item)
        total += num_bytes
    if members:
        yield members, total
