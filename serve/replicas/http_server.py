"""An ASGI application over HTTP in the running event loop, on a socket that other processes may have too."""

import asyncio
import contextlib
import functools
import math
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import uvicorn

from serve.replicas.connections import Connections
from serve.replicas.http_protocol import BoundedProtocol
from serve.settings import Limits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_WAITING = 128
_MAX_HEADER_BYTES = 64 * 1024
"""Of what is read of a request before its headers are whole; the application's own bound is lower."""
_PARTING_S = 2.0
"""How long clients have to hear with an answer that they are to open another connection."""
_CLOSE = (b"connection", b"close")


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: how the process ends is not its server's to say."""
        yield


class HttpServer:
    """uvicorn; belongs to one event loop."""

    def __init__(self, app: "ASGIApp", listening: socket.socket, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        protocol = functools.partial(BoundedProtocol, connections=Connections(limits), limits=limits)
        self._app = app
        self._listening = listening
        self._is_parting = False
        config = uvicorn.Config(
            self._answer,
            http=protocol,  # type: ignore[arg-type]  # called with options, as a class would be
            h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
            interface="asgi3",
            ws="none",
            backlog=_WAITING,
            timeout_keep_alive=math.ceil(limits.keep_alive_s),
            server_header=False,
            log_config=None,
            access_log=False,
            proxy_headers=False,  # nothing is made of who asks
        )
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    @property
    def is_serving(self) -> bool:
        """Whether it takes connections."""
        return self._serving is not None and not self._serving.done()

    async def start(self) -> None:
        """Returns once it takes connections; started before, at once."""
        if self._serving is not None:
            return
        self._serving = asyncio.create_task(self._server.serve([self._listening]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise RuntimeError("The HTTP server ended while it started.")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Finish the requests that were begun, then close.

        Clients that go on are told to open another connection, before theirs ends: to close it while a
        request is under way would lose that.
        """
        if self._serving is None:
            return
        for server in self._server.servers:
            server.close()
        self._is_parting = True
        deadline = asyncio.get_running_loop().time() + _PARTING_S
        while self._server.server_state.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
        self._server.should_exit = True
        await self._serving

    async def _answer(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        async def send_parting(message: "Message") -> None:
            if self._is_parting and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
            await send(message)

        await self._app(scope, receive, send_parting)
