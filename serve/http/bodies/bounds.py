"""What the bodies that one process receives may take: time, and memory shared between clients.

A body that falls behind `min_upload_rate` is ended, and so is one that is slow while others lack room: to
hold memory for long takes as much sending as others do, and no client may hold all of it.
"""

import asyncio
import collections
import dataclasses
from collections.abc import Callable

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from serve.engine.backend import BusyError
from serve.http.errors import ApiError
from serve.settings import Limits

_PRESSED_RATE = 256 * 1024
"""Bytes a second below which a body makes room for others, once there is none."""
_PRESSED_GRACE_S = 2.0
_CLOSE = {"Connection": "close"}
"""With an answer to a body that has not ended: what would still come is not to be read."""


@dataclasses.dataclass(slots=True)
class _Pace:
    """Seconds that a sender may pause: earned by bytes at a rate, up to a bound, and spent by waiting."""

    rate: float
    most_s: float
    left_s: float

    def wait(self, seconds: float) -> None:
        self.left_s -= seconds

    def earn(self, num_bytes: int) -> None:
        self.left_s = min(self.most_s, self.left_s + num_bytes / self.rate)


class BodyBounds:
    """The bodies that are being received or worked on in this process."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._bodies: dict[IncomingBody, None] = {}
        self._held_bytes = 0
        self._held_by_client: collections.Counter[str] = collections.Counter()

    def begin(self, client: str, max_bytes: int) -> "IncomingBody":
        """A body of at most so many bytes; its owner must call `end` once it is done with it."""
        body = IncomingBody(self, client, max_bytes)
        self._bodies[body] = None
        return body

    def hold(self, body: "IncomingBody", num_bytes: int) -> None:
        """Count a piece that came; `BusyError` where others hold too much and all of them keep pace."""
        largest = self.limits.max_body_bytes
        own = self.limits.uploads_per_client * largest
        while self._held_by_client[body.client] + num_bytes > own:
            if not self._give_up_slowest(body, lambda other: other.client == body.client):
                raise BusyError("You are sending too much at the same time; try again in a moment.")
        while self._held_bytes + num_bytes > self.limits.uploads_at_once * largest:
            if not self._give_up_slowest(body, lambda other: True):
                raise BusyError("Too much is being uploaded at the same time; try again in a moment.")
        body.num_bytes += num_bytes
        self._held_bytes += num_bytes
        self._held_by_client[body.client] += num_bytes

    def forget(self, body: "IncomingBody") -> None:
        """Count a body no more; nothing where it is not counted."""
        if body not in self._bodies:
            return
        del self._bodies[body]
        self._held_bytes -= body.num_bytes
        self._held_by_client[body.client] -= body.num_bytes
        if not self._held_by_client[body.client]:
            del self._held_by_client[body.client]

    def _give_up_slowest(self, newcomer: "IncomingBody", is_meant: Callable[["IncomingBody"], bool]) -> bool:
        slow = [b for b in self._bodies if b is not newcomer and b.num_bytes and b.is_behind and is_meant(b)]
        if not slow:
            return False
        slowest = min(slow, key=lambda body: body.pressed_left_s)
        slowest.give_up()
        self.forget(slowest)
        return True


class IncomingBody:
    """One body: `receive` in place of the server's."""

    def __init__(self, bounds: BodyBounds, client: str, max_bytes: int) -> None:
        self.client = client
        self.num_bytes = 0
        limits = bounds.limits
        self._bounds = bounds
        self._max_bytes = max_bytes
        self._has_more = True
        self._pace = _Pace(limits.min_upload_rate, limits.upload_grace_s, limits.upload_grace_s)
        self._pressed = _Pace(_PRESSED_RATE, _PRESSED_GRACE_S, _PRESSED_GRACE_S)
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + limits.upload_timeout_s
        self._timer: asyncio.Timeout | None = None
        self._waits_since: float | None = None
        self._is_given_up = False

    async def receive(self, receive: Receive) -> Message:
        """The next message; raises `ApiError` (408, 413), `BusyError` or `ClientDisconnect` instead."""
        if not self._has_more:
            return await receive()
        self._waits_since = began = self._loop.time()
        message: Message | None = None
        try:
            async with asyncio.timeout_at(min(began + self._pace.left_s, self._ends_at)) as self._timer:
                message = await receive()
        except TimeoutError:
            pass
        finally:
            self._spend(self._loop.time() - began)
        if self._is_given_up:
            raise ApiError(
                429,
                "busy",
                "This upload was given up to make room: too much is being uploaded at the same time, and it"
                " was the slowest; try again in a moment.",
                headers=_CLOSE,
            )
        if message is None:
            raise self._too_slow()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._has_more = message.get("more_body", False)
        size = len(message.get("body", b""))
        self._pace.earn(size)
        self._pressed.earn(size)
        if self.num_bytes + size > self._max_bytes:
            raise too_large(self._max_bytes)
        self._bounds.hold(self, size)
        return message

    def end(self) -> None:
        """Its memory is free again."""
        self._bounds.forget(self)

    @property
    def pressed_left_s(self) -> float:
        """Seconds that it may still pause where others lack room; below 0 it is behind."""
        waited = self._loop.time() - self._waits_since if self._waits_since is not None else 0.0
        return self._pressed.left_s - waited

    @property
    def is_behind(self) -> bool:
        """Whether it may be given up for others: they wait for its sender, not it for us."""
        return self._waits_since is not None and not self._is_given_up and self.pressed_left_s < 0

    def give_up(self) -> None:
        """End it with 429, for others lack room."""
        self._is_given_up = True
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(self._loop.time())

    def _spend(self, seconds: float) -> None:
        self._pace.wait(seconds)
        self._pressed.wait(seconds)
        self._timer = self._waits_since = None

    def _too_slow(self) -> ApiError:
        limits = self._bounds.limits
        if self._loop.time() >= self._ends_at:
            why = f"The body did not come within {limits.upload_timeout_s:g} s; send less at a time."
        else:
            why = (
                f"The body came slower than {limits.min_upload_rate:,} bytes a second for"
                f" {limits.upload_grace_s:g} s; try again over a better connection."
            )
        return ApiError(408, "upload_timed_out", why, headers=_CLOSE)


def too_large(limit: int) -> ApiError:
    """A body of more bytes than it may have."""
    return ApiError(
        413, "too_large", f"The body of this request may have {limit:,} bytes; send less at a time."
    )
