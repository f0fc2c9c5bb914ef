"""A small HTTP server that answers by script, one entry a request, and notes what came."""

import contextlib
import dataclasses
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Say:
    """One answer."""

    status: int = 200
    value: Any = None
    """JSON; or bytes as they are."""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    after_s: float = 0.0
    is_reset: bool = False
    """No answer: the connection is reset when the request has been read."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float


@dataclasses.dataclass(kw_only=True, slots=True)
class Misbehaving:
    """The server's address, its script (the last entry is repeated), and what came."""

    url: str
    script: list[Say] = dataclasses.field(default_factory=list)
    heard: list[Heard] = dataclasses.field(default_factory=list)


def error(status: int, code: str, message: str, **headers: str) -> Say:
    """An error as the service writes it."""
    value = {"error": {"code": code, "message": message}}
    return Say(status=status, value=value, headers={k.replace("_", "-"): v for k, v in headers.items()})


@contextlib.contextmanager
def misbehaving_server() -> Iterator[Misbehaving]:
    """On a free port of this machine."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                server.heard.append(
                    Heard(
                        method=self.command,
                        path=self.path,
                        headers=dict(self.headers.items()),
                        body=body,
                        at=time.monotonic(),
                    )
                )
                say = server.script.pop(0) if len(server.script) > 1 else server.script[0]
            time.sleep(say.after_s)
            if say.is_reset:
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
                self.connection.close()
                return
            data = say.value if isinstance(say.value, bytes) else json.dumps(say.value).encode()
            self.send_response(say.status)
            headers = {"X-Request-Id": "from-service", **say.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = _answer

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Clients that gave up are what the tests are about."""

    with Server(("127.0.0.1", 0), Handler) as http:
        server = Misbehaving(url=f"http://127.0.0.1:{http.server_address[1]}")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
