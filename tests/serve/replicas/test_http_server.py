"""HTTP on a shared socket, over real connections."""

import asyncio
import contextlib
import http.client
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

from serve.replicas.http_server import HttpServer
from serve.replicas.listener import Listener, receive_socket


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the body's length; /slow takes its time."""
    if scope["type"] != "http":
        raise RuntimeError("not spoken here")
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % 6)]})
    await send({"type": "http.response.body", "body": b"%06d" % size})


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[HttpServer, int, str]]:
    with closing(Listener("127.0.0.1", 0)) as listener:
        server = HttpServer(app, receive_socket(listener.path).listening)
        await server.start()
        try:
            yield server, listener.port, listener.path
        finally:
            await server.stop()


async def asked(port: int, path: str = "/", body: bytes = b"") -> tuple[int, bytes]:
    def ask() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()

    return await asyncio.to_thread(ask)


def test_bodies_of_any_length_come_whole() -> None:
    async def check() -> None:
        async with serving() as (server, port, _):
            assert server.is_serving
            assert await asked(port, body=b"x" * 900_000) == (200, b"900000")
            assert await asked(port) == (200, b"000000")
        assert not server.is_serving

    asyncio.run(check())


def test_headers_without_end_are_cut_off() -> None:
    def endless(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
            with contextlib.suppress(ConnectionError):
                for _ in range(40):
                    client.sendall(b"X-A: " + b"a" * 8000 + b"\r\n")
            with contextlib.suppress(ConnectionError):  # the answer may be lost with the connection
                return client.recv(1000)
        return b""

    async def check() -> None:
        async with serving() as (_, port, _path):
            answer = await asyncio.to_thread(endless, port)
            assert not answer or answer.startswith(b"HTTP/1.1 400")
            assert await asked(port) == (200, b"000000")

    asyncio.run(check())


def test_a_request_that_is_under_way_is_finished_and_the_next_goes_to_another() -> None:
    async def check() -> None:
        async with serving() as (first, port, path):
            slow = asyncio.create_task(asked(port, "/slow"))
            await asyncio.sleep(0.2)
            second = HttpServer(app, receive_socket(path).listening)
            await second.start()
            await asyncio.gather(first.stop(), slow)
            assert slow.result() == (200, b"000000")
            assert await asked(port) == (200, b"000000")
            await second.stop()

    asyncio.run(check())


def test_clients_that_keep_their_connections_lose_nothing_while_servers_come_and_go() -> None:
    async def check() -> None:
        async with serving() as (server, port, path):
            stop, failed, answered = threading.Event(), [], []

            def client() -> None:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                while not stop.is_set():
                    try:
                        connection.request("POST", "/", b"x")
                        answer = connection.getresponse()
                        answer.read()
                        answered.append(answer.headers.get("connection"))
                    except OSError as error:
                        failed.append(error)
                        connection.close()

            threads = [threading.Thread(target=client) for _ in range(4)]
            for thread in threads:
                thread.start()
            for _ in range(5):
                new = HttpServer(app, receive_socket(path).listening)
                await new.start()
                await server.stop()
                server = new
            await wait_for(lambda: len(answered) > 500)
            stop.set()
            await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
            await server.stop()
            assert failed == []
            assert answered.count("close") >= 4, "they were told to open another connection"

    asyncio.run(check())


async def wait_for(holds: Callable[[], bool]) -> None:
    for _ in range(200):
        if holds():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it does not come about")
