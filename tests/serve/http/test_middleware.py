"""Keys, hosts, origins, sizes: what is refused before it is read, and what every answer carries."""

import asyncio
import json
import logging
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serve.http.app import make_app
from serve.settings import ServeSettings
from tests.serve.support.fakes import FakeBackend, FakeStore
from tests.serve.support.http import Served, code_of, served
from tests.serve.support.malformed import Case, send
from tests.serve.support.malformed_images import valid


class Counting:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def count_request(self, **told: Any) -> None:
        """One request."""
        self.seen.append(told)


@pytest.fixture(scope="module")
def watch() -> Counting:
    return Counting()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, watch: Counting) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("service"), metrics=watch) as running:
        running.domain("d")
        yield running


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("public"), host="0.0.0.0") as running:
        yield running


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_away_from_loopback_nothing_is_answered_without_a_key(public: Served) -> None:
    for method, path in (("GET", "/v1/domains"), ("POST", "/v1/domains/d/score"), ("GET", "/nowhere")):
        answer = public.ask(method, path)
        assert (answer.status_code, code_of(answer)) == (401, "key_missing")
        assert answer.headers["www-authenticate"] == "Bearer"
    for path in ("/", "/healthz", "/readyz", "/docs", "/docs/style.css", "/openapi.json"):
        assert public.ask("GET", path).status_code == 200
    for wrong in ("dgad_" + "x" * 43, "", "\xe9"):
        answer = public.ask(
            "GET", "/v1/domains", headers={"Authorization": f"Bearer {wrong}".encode("latin-1")}
        )
        assert answer.status_code == 401


def test_a_read_key_scores_and_a_write_key_changes_under_its_name(public: Served) -> None:
    reader, writer = public.ring.create("camera-3", "read"), public.ring.create("anna", "write")
    assert public.ask("PUT", "/v1/domains/k", headers=bearer(writer)).status_code == 201
    enrolled = public.ask("POST", "/v1/domains/k/references", data=valid("PNG"), headers=bearer(writer))
    assert enrolled.status_code == 201
    scored = public.ask("POST", "/v1/domains/k/score", data=valid("PNG"), headers=bearer(reader))
    assert scored.status_code == 200
    log = public.ask("GET", "/v1/domains/k/versions", headers=bearer(reader)).json()["log"]
    assert [entry["by"] for entry in log] == ["anna", "anna"]
    for method, path in (
        ("PUT", "/v1/domains/k"),
        ("DELETE", "/v1/domains/k"),
        ("POST", "/v1/domains/k/references"),
        ("POST", "/v1/domains/k/rollback"),
        ("DELETE", f"/v1/domains/k/references/{'0' * 64}"),
        ("PUT", "/v1/domains/score"),  # not the route that a read key may post to
    ):
        answer = public.ask(method, path, headers=bearer(reader))
        assert (answer.status_code, code_of(answer)) == (403, "scope_too_small")


def test_a_revoked_key_is_refused_at_once(public: Served) -> None:
    token = public.ring.create("leaver", "read")
    assert public.ask("GET", "/v1/domains", headers=bearer(token)).status_code == 200
    public.ring.revoke("leaver")
    answer = public.ask("GET", "/v1/domains", headers=bearer(token))
    assert (answer.status_code, code_of(answer)) == (401, "key_unknown")


def test_without_a_key_no_body_is_read(public: Served) -> None:
    head = b"POST /v1/domains/k/references HTTP/1.1\r\nHost: x\r\nContent-Length: 150000\r\n\r\nstart"
    answered = send(public.url, Case(name="held back", raw=head))
    assert answered.status == 401


def test_keys_that_cannot_be_read_open_nothing(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "keys.json").write_text("{")
    with served(tmp_path) as damaged:
        answer = damaged.ask("GET", "/v1/domains")
        assert (answer.status_code, code_of(answer)) == (503, "unavailable")


def test_on_loopback_the_first_key_ends_the_time_without(tmp_path: Path) -> None:
    with served(tmp_path) as running:
        assert running.ask("GET", "/v1/domains").status_code == 200
        token = running.ring.create("first", "read")
        assert running.ask("GET", "/v1/domains").status_code == 401
        assert running.ask("GET", "/v1/domains", headers=bearer(token)).status_code == 200


def test_keys_that_have_gone_open_nothing(tmp_path: Path) -> None:
    with served(tmp_path) as running:
        token = running.ring.create("first", "write")
        assert running.ask("GET", "/v1/domains", headers=bearer(token)).status_code == 200
        keys = tmp_path / "store" / "keys.json"
        for gone in (keys, keys.parent):  # a file lost, a place unmounted
            gone.rename(tmp_path / "elsewhere")
            for method, path in (("GET", "/v1/domains"), ("PUT", "/v1/domains/d")):
                for headers in ({}, bearer(token)):
                    answer = running.ask(method, path, headers=headers)
                    assert (answer.status_code, code_of(answer)) == (503, "unavailable")
            assert running.ask("GET", "/healthz").status_code == 200
            (tmp_path / "elsewhere").rename(gone)
        assert running.ask("GET", "/v1/domains", headers=bearer(token)).status_code == 200
        running.ring.revoke("first")
        answer = running.ask("PUT", "/v1/domains/d")
        assert (answer.status_code, code_of(answer)) == (401, "key_missing")
        running.ring.open_to_all()
        assert running.ask("PUT", "/v1/domains/d").status_code == 201


def test_a_service_that_was_told_of_keys_is_closed_on_an_empty_store(tmp_path: Path) -> None:
    for rule, status in (("required", 401), ("expected", 503)):
        with served(tmp_path, keys=rule) as running:
            assert running.ask("GET", "/v1/domains").status_code == status


def test_without_keys_only_this_machine_is_answered_wherever_it_listens(tmp_path: Path) -> None:
    statuses = []

    async def ask(client: tuple[str, int], path: str) -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "client": client}
        await app({**scope, "headers": [(b"host", b"localhost")]}, receive, send)

    store = FakeStore()
    settings = ServeSettings(bundle="b", store=str(tmp_path))
    app = make_app(settings, FakeBackend(store), store=store, page_folder=tmp_path)
    for client in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.7", "::ffff:10.0.0.7"):
        asyncio.run(ask((client, 1), "/v1/domains"))
    asyncio.run(ask(("10.0.0.7", 1), "/healthz"))
    assert statuses == [200, 200, 200, 403, 403, 200]


def test_nothing_is_reached_by_a_protocol_that_no_route_speaks(tmp_path: Path) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    store = FakeStore()
    app = make_app(ServeSettings(bundle="b", store=str(tmp_path)), FakeBackend(store), store=store)
    scope = {"type": "websocket", "path": "/static/app.js", "query_string": b"", "headers": []}
    asyncio.run(app(scope, receive, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_two_lengths_are_refused_and_end_the_connection(service: Served) -> None:
    head = b"Host: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    hidden = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answered = send(service.url, Case(name="two", raw=b"PUT /v1/domains/x HTTP/1.1\r\n" + head + hidden))
    assert answered.status == 400
    assert b"must not both be given" in answered.body
    assert b"HTTP/1.1" not in answered.body


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("10.0.0.1", 403),
        ("localhost:1234", 200),
        ("127.0.0.2", 200),
        ("[::1]:80", 200),
    ],
)
def test_a_rebound_name_is_refused(service: Served, host: str, status: int) -> None:
    answer = service.ask("GET", "/v1/domains", headers={"Host": host})
    assert answer.status_code == status
    if status == 403:
        assert code_of(answer) == "host_refused"
        assert service.ask("GET", "/", headers={"Host": host}).status_code == 403
        assert service.ask("GET", "/healthz", headers={"Host": host}).status_code == 200


def test_another_sites_page_changes_nothing(service: Served) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        for method, path in (("PUT", "/v1/domains/csrf"), ("POST", "/v1/domains/d/score")):
            answer = service.ask(method, path, headers=headers)
            assert (answer.status_code, code_of(answer)) == (403, "origin_refused")
    assert service.ask("PUT", "/v1/domains/own", headers={"Origin": service.url}).status_code == 201


def test_every_answer_has_an_id_and_says_how_to_treat_it(service: Served) -> None:
    given = service.ask("GET", "/v1/domains", headers={"X-Request-Id": "trace-1.a_B"})
    assert given.headers["x-request-id"] == "trace-1.a_B"
    for insane in ("a b", "x" * 65, "<script>"):
        made = service.ask("GET", "/nowhere", headers={"X-Request-Id": insane})
        assert re.fullmatch(r"[0-9a-f]{16}", made.headers["x-request-id"])
    for path in ("/v1/domains", "/nowhere", "/healthz", "/"):
        headers = service.ask("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src" in headers["content-security-policy"]
    assert service.ask("GET", "/v1/domains").headers["cache-control"] == "no-store"


def test_headers_and_json_bodies_are_bounded(service: Served) -> None:
    answer = service.ask("GET", "/v1/domains", headers={"X-Long": "a" * 9000})
    assert (answer.status_code, code_of(answer)) == (431, "headers_too_large")
    answer = service.ask("GET", "/v1/domains?" + "a=b&" * 2500)
    assert answer.status_code == 431
    body = json.dumps({"note": "x" * 70_000})
    answer = service.ask("PUT", "/v1/domains/x", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, code_of(answer)) == (413, "too_large")


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(service: Served) -> None:
    large = b"x" * 300_000
    for body in (large, iter([large[:150_000], large[150_000:]])):  # the second goes in chunks
        answer = service.ask("POST", "/v1/domains/d/score", data=body)
        assert (answer.status_code, code_of(answer)) == (413, "too_large")
    assert service.ask("POST", "/v1/domains/d/score", data=valid("PNG")).status_code == 200


def test_an_announced_length_is_refused_before_anything_comes(service: Served) -> None:
    answered = send(service.url, Case(name="announced", body=b"", length=b"999999999999"))
    assert answered.status == 413


def test_a_client_that_leaves_is_no_error_of_ours(
    service: Served, watch: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    port = int(service.url.rpartition(":")[2])
    with caplog.at_level(logging.INFO, logger="dgad.serve"):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            head = (
                f"POST /v1/domains/d/score HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 500\r\n\r\n"
            )
            connection.sendall(head.encode() + b"some")
        for _ in range(100):
            if watch.seen[-1]["status"] == 499:
                break
            service.ask("GET", "/nowhere")
            if any(told["status"] == 499 for told in watch.seen):
                break
    assert any(told["status"] == 499 for told in watch.seen)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_what_a_client_asked_for_that_leaves_is_not_worked_on(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_begun, has_ended = threading.Event(), threading.Event()

    async def never_answer(queries: Any) -> None:
        del queries
        has_begun.set()
        try:
            await asyncio.sleep(600)
        finally:
            has_ended.set()

    monkeypatch.setattr(service.backend, "score", never_answer)
    port = int(service.url.rpartition(":")[2])
    body = valid("PNG")
    head = (
        f"POST /v1/domains/d/score HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode() + body)
        assert has_begun.wait(60)
        assert not has_ended.is_set()
    assert has_ended.wait(20)  # sooner than the answer's own deadline


def test_requests_are_logged_and_counted_by_route_and_domain(
    service: Served, watch: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="dgad.serve.access"):
        service.ask("POST", "/v1/domains/d/score", data=valid("PNG"), headers={"X-Request-Id": "logged"})
        service.ask("GET", "/v1/nowhere/at/all")
        service.ask("GET", "/v1/domains")  # the lines of the others are written by then
    lines = [r.fields for r in caplog.records if r.name == "dgad.serve.access"]  # type: ignore[attr-defined]
    (line,) = [line for line in lines if line["request_id"] == "logged"]
    assert line["milliseconds"] > 0
    expected = {
        "method": "POST",
        "route": "/v1/domains/{domain}/score",
        "status": 200,
        "key": None,
        "domain": "d",
        "num_images": 1,
        "num_bytes": len(valid("PNG")),
    }
    assert {name: line[name] for name in expected} == expected
    assert "unmatched" in {line["route"] for line in lines}
    told = [t for t in watch.seen if t["num_images"] == 1][-1]
    assert (told["route"], told["status"], told["domain"]) == ("/v1/domains/{domain}/score", 200, "d")
