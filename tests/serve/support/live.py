"""A real server, with the protocol of ours, in a thread, for as long as a `with` lasts."""

import contextlib
import functools
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from serve.replicas.connections import Connections
from serve.replicas.http_protocol import BoundedProtocol
from serve.settings import Limits


@contextlib.contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """The URL of the running application."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else no TCP_NODELAY
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    limits = Limits()
    protocol = functools.partial(BoundedProtocol, connections=Connections(limits), limits=limits)
    server = uvicorn.Server(
        uvicorn.Config(app, http=protocol, log_config=None, access_log=False)  # type: ignore[arg-type]
    )
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        for _ in range(1000):
            if server.started:
                break
            threading.Event().wait(0.01)
        assert server.started
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listening.close()


def trickle(client: socket.socket, piece: bytes, *, pause_s: float) -> int:
    """Send a piece at a time until the other side ends the connection; how many went, at most 100."""
    for num_sent in range(100):
        try:
            client.sendall(piece)
        except OSError:
            return num_sent
        time.sleep(pause_s)
    return 100
