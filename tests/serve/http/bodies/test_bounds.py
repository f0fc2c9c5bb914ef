"""Bodies that come slowly, and clients that hold much: ended, whoever they hinder is not."""

import contextlib
import dataclasses
import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.http.bodies import bounds
from serve.settings import Limits
from tests.serve.support.http import SMALL, Served, code_of, served
from tests.serve.support.live import trickle
from tests.serve.support.malformed_images import valid

LARGEST = SMALL.max_body_bytes
HURRIED = dataclasses.replace(
    SMALL, max_image_bytes=LARGEST, min_upload_rate=20_000, upload_grace_s=0.8, upload_timeout_s=1.5
)
PATIENT = dataclasses.replace(SMALL, max_image_bytes=LARGEST)


@contextlib.contextmanager
def service(folder: Path, limits: Limits) -> Iterator[Served]:
    with served(folder, limits=limits) as running:
        running.domain("d")
        yield running


@contextlib.contextmanager
def upload(
    running: Served, num_bytes: int, *, announced: int = LARGEST, sender: str = "127.0.0.1", key: str = ""
) -> Iterator[socket.socket]:
    """A body that is begun with so many bytes."""
    port = int(running.url.rpartition(":")[2])
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    head = (
        f"POST /v1/domains/d/score HTTP/1.1\r\nHost: localhost\r\n{authorization}"
        f"Content-Type: image/png\r\nContent-Length: {announced}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(sender, 0)) as client:
        client.sendall(head.encode() + b"x" * num_bytes)
        yield client


def answer_of(client: socket.socket) -> tuple[int, str, bool]:
    """Status, code, and whether the connection ends after the answer."""
    answer = http.client.HTTPResponse(client)
    answer.begin()
    code = json.loads(answer.read())["error"]["code"]
    return answer.status, code, answer.headers.get("connection") == "close"


def scored(running: Served) -> int:
    return running.ask("POST", "/v1/domains/d/score", data=valid("PNG")).status_code


def test_a_body_that_stops_or_trickles_is_ended_with_its_connection(tmp_path: Path) -> None:
    with service(tmp_path, HURRIED) as running:
        with upload(running, 1) as stopped:
            assert answer_of(stopped) == (408, "upload_timed_out", True)
        with upload(running, LARGEST - 1000) as burst:  # what came quickly is no credit for later
            assert trickle(burst, b"x", pause_s=0.05) < 100, "it ends before all is sent"
        port = int(running.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:  # JSON is a body too
            client.sendall(b"PUT /v1/domains/e HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n")
            client.sendall(b"Content-Type: application/json\r\n\r\n{")
            assert answer_of(client) == (408, "upload_timed_out", True)
        assert scored(running) == 200


def test_a_steady_slow_body_is_read_but_not_for_ever(tmp_path: Path) -> None:
    limits = dataclasses.replace(HURRIED, upload_timeout_s=30.0)
    with service(tmp_path, limits) as running, upload(running, 0, announced=50_000) as steady:
        for _ in range(25):  # 40,000 a second, for longer than the grace
            steady.sendall(b"x" * 2000)
            time.sleep(0.05)
        assert answer_of(steady)[:2] == (422, "image_unreadable")
    with service(tmp_path / "2", HURRIED) as running, upload(running, 0) as steady:
        with contextlib.suppress(OSError):
            for _ in range(60):
                steady.sendall(b"x" * 2000)
                time.sleep(0.05)
        assert answer_of(steady) == (408, "upload_timed_out", True)


def test_one_client_holds_its_share_and_others_are_answered(tmp_path: Path) -> None:
    nearly = LARGEST - 1000
    with service(tmp_path, PATIENT) as running, contextlib.ExitStack() as stack:
        uploads = [stack.enter_context(upload(running, nearly, sender="127.0.0.2")) for _ in range(4)]
        assert [scored(running) for _ in range(3)] == [200, 200, 200]
        refused = [answer_of(client)[:2] for client in uploads if _has_answer(client)]
        assert refused == [(429, "busy"), (429, "busy")]


def test_a_key_shares_with_nobody_behind_the_same_proxy(tmp_path: Path) -> None:
    with served(tmp_path, limits=PATIENT) as running, contextlib.ExitStack() as stack:
        greedy, other = running.ring.create("greedy", "write"), running.ring.create("other", "write")
        named = {"Authorization": f"Bearer {other}"}
        assert running.ask("PUT", "/v1/domains/d", headers=named).status_code == 201
        answer = running.ask("POST", "/v1/domains/d/references", data=valid("PNG"), headers=named)
        assert answer.status_code == 201
        for _ in range(4):
            stack.enter_context(upload(running, LARGEST - 1000, key=greedy))
        time.sleep(0.2)
        answer = running.ask("POST", "/v1/domains/d/score", data=valid("PNG"), headers=named)
        assert answer.status_code == 200


def test_who_is_slow_makes_room_for_others_of_the_same_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "_PRESSED_GRACE_S", 0.3)
    with service(tmp_path, PATIENT) as running, contextlib.ExitStack() as stack:
        uploads = [stack.enter_context(upload(running, LARGEST - 100)) for _ in range(2)]
        time.sleep(0.1)
        busy = running.ask("POST", "/v1/domains/d/score", data=valid("PNG") + b"x" * 3000)
        assert (busy.status_code, code_of(busy)) == (429, "busy")  # they might only just have paused
        time.sleep(0.4)
        answer = running.ask("POST", "/v1/domains/d/score", data=valid("PNG") + b"x" * 3000)
        assert answer.status_code != 429
        (given_up,) = [client for client in uploads if _has_answer(client)]
        assert answer_of(given_up) == (429, "busy", True)


def _has_answer(client: socket.socket) -> bool:
    client.settimeout(0.3)
    try:
        return bool(client.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        client.settimeout(20)
