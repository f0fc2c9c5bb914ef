"""HTTP/1.1 by uvicorn, with bounds on what it waits for: headers, the next request, a reader of the answer.

uvicorn's own timer covers only connections that have had an answer and then say nothing at all. Bodies are
the application's (`serve.http.bodies.bounds`), for it knows what they may bring.
"""

import asyncio
import json
import secrets
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from serve.replicas.connections import Connections
from serve.settings import Limits

_REASONS = {400: "Bad Request", 408: "Request Timeout", 503: "Service Unavailable"}


class BoundedProtocol(H11Protocol):
    """One connection to a client, from its acceptance to its end."""

    def __init__(self, *, connections: Connections, limits: Limits, **options: Any) -> None:
        super().__init__(**options)
        self._book = connections
        self._limits = limits
        self._waits_for: str | None = None
        self._wait_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it on, or answer at once that there is no room."""
        super().connection_made(transport)
        if not self._book.add(self, self.client[0] if self.client else "unknown"):
            self._answer_and_close(503, "too_many_connections", "Too many connections are open; try again.")
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection and what it waited for."""
        self._book.remove(self)
        self._wait(None, 0.0)
        super().connection_lost(exc)
        self._cancel_write_timer()

    def data_received(self, data: bytes) -> None:
        """Take what came, and look what is waited for after it."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Go on to the next request, or wait for it."""
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the shape of every other error."""
        self._answer_and_close(400, "bad_request", f"{msg.rstrip('.')}: it does not follow HTTP/1.1.")

    def pause_writing(self) -> None:
        """Wait for the reader of an answer, but not for ever."""
        super().pause_writing()
        self._bound_reading()

    def resume_writing(self) -> None:
        """Go on: it has been read."""
        super().resume_writing()
        self._cancel_write_timer()
        if self.transport.is_closing():
            self._bound_reading()

    def timeout_keep_alive_handler(self) -> None:
        """Never: `_watch` looks after that."""

    def shutdown(self) -> None:
        """End it, if need be after the answer that is under way."""
        super().shutdown()
        self._watch()

    def close_for_others(self) -> None:
        """Make room; no request is under way."""
        if self.transport.get_write_buffer_size():  # whoever does not read would keep it open
            self.transport.abort()
        else:
            self.transport.close()

    def _watch(self) -> None:
        """Begin to wait for what is needed next; more bytes of the same do not begin it anew."""
        if self.transport.is_closing():
            self._wait(None, 0.0)
            self._bound_reading()
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._book.mark_working(self)
            self._wait(None, 0.0)
            return
        self._book.mark_waiting(self)
        if self.conn.their_state is h11.SEND_BODY:
            # It has its answer; it may finish sending, so that it hears it, but no more.
            self._wait("rest", self._limits.keep_alive_s)
        elif self.cycle is None or self.conn.trailing_data[0]:
            self._wait("headers", self._limits.header_timeout_s)
        else:
            self._wait("request", self._limits.keep_alive_s)

    def _wait(self, what: str | None, seconds: float) -> None:
        if what == self._waits_for:
            return
        self._waits_for = what
        if self._wait_timer is not None:
            self._wait_timer.cancel()
            self._wait_timer = None
        if what is not None:
            self._wait_timer = self.loop.call_later(seconds, self._end_waiting)

    def _end_waiting(self) -> None:
        if self.transport.is_closing():
            return
        if self._waits_for == "headers" and self.conn.trailing_data[0]:
            self._answer_and_close(
                408,
                "headers_timed_out",
                f"The headers did not come within {self._limits.header_timeout_s:g} s; try again.",
            )
            return
        self._book.remove(self)
        self.close_for_others()

    def _answer_and_close(self, status: int, code: str, message: str) -> None:
        """Answer by ourselves: there is no request that the application could answer."""
        self._book.remove(self)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            if self.cycle.response_started:  # half of another answer is out
                self._close()
                return
        request_id = secrets.token_hex(8)
        body = json.dumps({"error": {"code": code, "message": message, "request_id": request_id}}).encode()
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-content-type-options: nosniff\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self._close()

    def _close(self) -> None:
        self.transport.close()
        self._watch()

    def _bound_reading(self) -> None:
        """Give the client time to read what is to be sent, at the least rate that a sender keeps too."""
        num_bytes = self.transport.get_write_buffer_size()
        if num_bytes and self._write_timer is None:
            seconds = self._limits.upload_grace_s + num_bytes / self._limits.min_upload_rate
            self._write_timer = self.loop.call_later(seconds, self.transport.abort)

    def _cancel_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
