"""Connections that keep a server waiting: half-sent headers, bodies and answers nobody reads, too many."""

import asyncio
import contextlib
import dataclasses
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from serve.replicas.connections import Connections
from serve.replicas.http_server import HttpServer
from serve.replicas.listener import Listener, receive_socket
from serve.settings import Limits
from tests.serve.support.live import trickle

HURRIED = Limits(header_timeout_s=0.3, keep_alive_s=0.6, upload_grace_s=0.3, min_upload_rate=2**24)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once with as many bytes as the path says, and reads no body."""
    if scope["type"] != "http":
        raise RuntimeError("not spoken here")
    size = int(scope["path"][1:] or 2)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
    for _ in range(0, size, 2**20):
        await send({"type": "http.response.body", "body": b"x" * min(size, 2**20), "more_body": True})
    await send({"type": "http.response.body"})


def asked(limits: Limits, ask: Callable[[int], None]) -> None:
    """Run `ask` with the port of a server."""

    async def run() -> None:
        with closing(Listener("127.0.0.1", 0)) as listener:
            server = HttpServer(app, receive_socket(listener.path).listening, limits)
            await server.start()
            try:
                await asyncio.to_thread(ask, listener.port)
            finally:
                await asyncio.wait_for(server.stop(), 10)

    asyncio.run(run())


@contextlib.contextmanager
def connected(port: int, data: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(data)
        yield client


def everything(client: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            data += piece
    return data


def error_in(answer: bytes) -> tuple[bytes, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    return head.split(b"\r\n")[0], json.loads(body)["error"]["code"]


def test_headers_have_a_time_however_they_trickle() -> None:
    def ask(port: int) -> None:
        with connected(port, b"GET / HTTP/1.1\r\n") as trickling, connected(port) as silent:
            assert trickle(trickling, b"X: y\r\n", pause_s=0.05) < 100, "it ends before all is sent"
            assert everything(silent) == b""
        with connected(port, b"GET / HTTP/1.1\r\nHost: a\r\n") as half:
            told = error_in(everything(half))
            assert told == (b"HTTP/1.1 408 Request Timeout", "headers_timed_out")
        with connected(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET") as second:  # after an answer too
            assert b"headers_timed_out" in everything(second)

    asked(HURRIED, ask)


def test_who_has_had_an_answer_may_pause_and_ask_again_but_not_stay() -> None:
    def ask(port: int) -> None:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for pause_s in (0.4, 0.4, 1.2):  # longer than headers may take
            client.request("GET", "/")
            answer = client.getresponse()
            assert answer.read() == b"xx"
            time.sleep(pause_s)
        assert client.sock.recv(1) == b""

    asked(HURRIED, ask)


def test_a_body_that_nobody_reads_keeps_no_connection() -> None:
    def ask(port: int) -> None:
        with connected(port, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n") as client:
            assert trickle(client, b"x", pause_s=0.05) < 100, "it ends before all is sent"

    asked(HURRIED, ask)


def test_an_answer_that_nobody_reads_is_given_up() -> None:
    with contextlib.ExitStack() as stack:

        def ask(port: int) -> None:
            for headers in (b"", b"Connection: close\r\n"):
                for size in (50_000_000, 3_000_000):
                    client = stack.enter_context(connected(port))
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    client.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n%s\r\n" % (size, headers))
                    assert client.recv(1)

        asked(HURRIED, ask)  # its end waits for whoever is still connected


def test_who_waits_longest_makes_room() -> None:
    limits = dataclasses.replace(Limits(), max_connections_per_client=20)

    def ask(port: int) -> None:
        with contextlib.ExitStack() as stack:
            half = [stack.enter_context(connected(port, b"GET / HTTP/1.1\r\n")) for _ in range(60)]
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            client.request("GET", "/")
            assert client.getresponse().read() == b"xx"
            assert everything(half[0]) == b""
            half[-1].sendall(b"Host: a\r\n\r\n")
            assert half[-1].recv(15) == b"HTTP/1.1 200 OK"

    asked(limits, ask)


def test_what_is_no_http_is_told_so_in_json() -> None:
    def ask(port: int) -> None:
        with connected(port, b"no http\r\n\r\n") as client:
            assert error_in(everything(client)) == (b"HTTP/1.1 400 Bad Request", "bad_request")

    asked(HURRIED, ask)


class Connection:
    """Notes whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def close_for_others(self) -> None:
        """Noted."""
        self.is_closed = True


@pytest.mark.parametrize("limits", [Limits(max_connections=2), Limits(max_connections_per_client=2)])
def test_a_connection_with_a_request_is_never_closed_for_another(limits: Limits) -> None:
    book, (first, second, third) = Connections(limits), (Connection(), Connection(), Connection())
    assert book.add(first, "a")
    assert book.add(second, "a")
    book.mark_working(first)
    assert book.add(third, "a")
    assert [c.is_closed for c in (first, second, third)] == [False, True, False]
    book.mark_working(third)
    assert not book.add(Connection(), "a")
    assert len(book) == 2
    book.remove(first)
    book.remove(first)
    assert book.add(Connection(), "a")
    assert len(book) == 2
