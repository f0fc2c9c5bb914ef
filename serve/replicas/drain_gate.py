"""The gate of an ingress: closed, it lets out who is inside and nobody in, so that a service can end.

Serve ends all deployments of an application at once, and an ingress that has only asked half of its questions
would find no scorer any more. So the gates are closed first (`serve.operate.serve_api.ServeApi.drain`).
"""

import asyncio
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_BODY = json.dumps(
    {"error": {"code": "shutting_down", "message": "The service is shutting down: try again later."}}
).encode()
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"retry-after", b"5"),
]
_STAYS_OPEN = "/healthz"


class DrainGate:
    """Counts the requests inside one process's application, and lets nobody in once closed."""

    def __init__(self) -> None:
        self.is_closed = False
        self._num_inside = 0
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    async def close(self, timeout_s: float) -> None:
        """Let nobody in, and wait until all are out, or for that long."""
        self.is_closed = True
        try:
            await asyncio.wait_for(self._is_empty.wait(), timeout_s)
        except TimeoutError:
            return

    def open(self) -> None:
        """Let requests in again."""
        self.is_closed = False

    def wrap(self, app: "ASGIApp") -> "ASGIApp":
        """The application behind the gate."""

        async def answer(scope: "Scope", receive: "Receive", send: "Send") -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            if self.is_closed and scope["path"] != _STAYS_OPEN:
                await send({"type": "http.response.start", "status": 503, "headers": _HEADERS})
                await send({"type": "http.response.body", "body": _BODY})
                return
            self._num_inside += 1
            self._is_empty.clear()
            try:
                await app(scope, receive, send)
            finally:
                self._num_inside -= 1
                if self._num_inside == 0:
                    self._is_empty.set()

        return answer


GATE = DrainGate()
"""Of this process, if it is an ingress."""
