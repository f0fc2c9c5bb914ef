"""Requests that are wrong in every way we know: a seeded corpus, and a socket to send it with.

Used by the tests with a reduced count and by `benchmarks/malformed_bodies.py`.
"""

import contextlib
import dataclasses
import json
import random
import socket
import urllib.parse
from collections.abc import Callable

from tests.serve.support import malformed_images as images

DOMAIN = "malformed"
_SCORE = f"/v1/domains/{DOMAIN}/score"
_ENROLL = f"/v1/domains/{DOMAIN}/references"
_BOUNDARY = b"xyzzy"
_OPEN_ENDED_S = 1.0
Headers = list[tuple[bytes, bytes]]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One request."""

    name: str
    method: bytes = b"POST"
    path: bytes = _SCORE.encode()
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    length: bytes | None = None
    """Another Content-Length than the body's."""
    raw: bytes | None = None
    """All that is sent, instead of the above."""
    must_refuse: bool = False
    """Whether an answer below 400 is wrong: some of what is mangled is still a fine request."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What came back."""

    status: int | None
    """None: the connection was closed without an answer."""
    headers: dict[str, str]
    body: bytes


def corpus(count: int, seed: int = 0) -> list[Case]:
    """That many cases, every kind in turn; equal for equal arguments."""
    draw = random.Random(seed)
    return [_KINDS[i % len(_KINDS)](draw) for i in range(count)]


def send(url: str, case: Case, timeout_s: float = 30.0) -> Answered:
    """Send one case and read the answer to its end."""
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname is not None
    # Where the length is wrong the server may wait for more, as it should.
    is_open_ended = case.length is not None or case.raw is not None
    waits_s = _OPEN_ENDED_S if is_open_ended else timeout_s
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=waits_s) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
            connection.sendall(_bytes_of(case, parts.netloc.encode()))
        received = b""
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            while not _is_whole(received, case.method) and (chunk := connection.recv(65536)):
                received += chunk
    return _parsed(received)


def complaint(case: Case, answered: Answered) -> str | None:
    """What is wrong with an answer, or None."""
    status = answered.status
    if status is None:
        # A body that never came whole has no answer to be had.
        return None if case.length is not None or case.raw is not None else "no answer"
    if status >= 500:
        return f"answered {status}: {answered.body[:300]!r}"
    if case.must_refuse and status < 400:
        return f"was not refused, but answered {status}"
    if b"Traceback" in answered.body or b'File "' in answered.body:
        return "the answer holds a stack trace"
    # What is no HTTP at all is refused by the server itself, in plain text.
    is_json = answered.headers.get("content-type", "").startswith("application/json")
    if status >= 400 and is_json and case.method != b"HEAD":
        error = json.loads(answered.body)["error"]
        if not (error["code"] and error["message"] and error["request_id"]):
            return f"the error is incomplete: {error}"
    return None


def _bytes_of(case: Case, host: bytes) -> bytes:
    if case.raw is not None:
        return case.raw.replace(b"{host}", host)
    headers = list(case.headers)
    names = {name.lower() for name, _ in headers}
    if b"host" not in names:
        headers.insert(0, (b"Host", host))
    if b"transfer-encoding" not in names and b"content-length" not in names:
        headers.append((b"Content-Length", case.length or str(len(case.body)).encode()))
    headers.append((b"Connection", b"close"))
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return case.method + b" " + case.path + b" HTTP/1.1\r\n" + lines + b"\r\n" + case.body


def _is_whole(received: bytes, method: bytes) -> bool:
    answered = _parsed(received)
    length = answered.headers.get("content-length")
    if answered.status is None or length is None:
        return False
    return method == b"HEAD" or len(answered.body) >= int(length)


def _parsed(received: bytes) -> Answered:
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not lines[0].startswith("HTTP/1."):
        return Answered(status=None, headers={}, body=received)
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
    return Answered(status=int(lines[0].split()[1]), headers=headers, body=body)


def _image_case(name: str, make: Callable[[random.Random], bytes], *, must_refuse: bool) -> "_Kind":
    def case(draw: random.Random) -> Case:
        data = make(draw)
        path = draw.choice((_SCORE, _SCORE + "?heatmap=overlay", _ENROLL)).encode()
        if draw.random() < 0.5:
            kind = draw.choice((b"image/png", b"image/jpeg", b"application/octet-stream"))
            return Case(
                name=name, path=path, headers=((b"Content-Type", kind),), body=data, must_refuse=must_refuse
            )
        # A good file beside the bad one changes nothing: all or none.
        body = _form(
            [(b'name="a"; filename="a.png"', images.valid("PNG")), (b'name="b"; filename="b"', data)]
        )
        return Case(name=name, path=path, headers=_form_headers(), body=body, must_refuse=must_refuse)

    return case


def _form(parts: list[tuple[bytes, bytes]]) -> bytes:
    made = b""
    for disposition, data in parts:
        made += b"--" + _BOUNDARY + b"\r\nContent-Disposition: form-data; " + disposition
        made += b"\r\nContent-Type: image/png\r\n\r\n" + data + b"\r\n"
    return made + b"--" + _BOUNDARY + b"--\r\n"


def _form_headers(boundary: bytes = _BOUNDARY) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"Content-Type", b"multipart/form-data; boundary=" + boundary),)


def _mutated_form(draw: random.Random) -> Case:
    body = bytearray(_form([(b'name="f"; filename="a.png"', images.valid("PNG", size=(8, 8)))] * 2))
    for _ in range(draw.randint(1, 8)):
        at = draw.randrange(len(body))
        change = draw.randrange(4)
        if change == 0:
            body[at] = draw.randrange(256)
        elif change == 1:
            del body[at : at + draw.randint(1, 40)]
        elif change == 2:
            body[at:at] = draw.choice((b"\r\n--xyzzy", b"\0", b"\r\n\r\n", b"--", b"\n", b"\r" * 50))
        else:
            body += body[at : at + 60]
        if not body:
            body = bytearray(b"-")
    return Case(name="form with mutations", path=_path(draw), headers=_form_headers(), body=bytes(body))


def _broken_form(draw: random.Random) -> Case:
    png = images.valid("PNG", size=(8, 8))
    good = _form([(b'name="f"; filename="a.png"', png)])
    start = b"--" + _BOUNDARY + b"\r\n"
    bodies = (
        good[:-9],
        good.replace(b"\r\n", b"\n"),
        good.replace(_BOUNDARY, b"other"),
        start + b"\r\n" + png + b"\r\n--xyzzy--\r\n",
        start + b"no colon here\r\n\r\n" + png + b"\r\n--xyzzy--\r\n",
        start + b'Content-Disposition: attachment; filename="a"\r\n\r\n' + png + b"\r\n--xyzzy--\r\n",
        start + b'Content-Disposition: form-data; name="note"\r\n\r\nhello\r\n--xyzzy--\r\n',
        good.replace(b"\r\nContent-Type", b'\r\nContent-Disposition: form-data; name="g"\r\nContent-Type'),
        good.replace(b'name="f"', b'name="' + b"x" * 6000 + b'"'),
        good.replace(b"Content-Type: image/png", b"X: y\r\n" * 20 + b"Content-Type: image/png"),
        _form([(b'name="f"; filename="%d.png"' % i, b"") for i in range(300)]),
        b"--xyzzy--\r\n",
        b"\r" * 5000,
        b"",
    )
    headers = _form_headers()
    if draw.random() < 0.3:
        headers = _form_headers(
            draw.choice((b"", b"x" * 300, b'"', b"other", b"\xff\xfe", b'"a"; boundary=b'))
        )
    return Case(
        name="form that is none",
        path=_path(draw),
        headers=headers,
        body=draw.choice(bodies),
        must_refuse=True,
    )


def _odd_name(draw: random.Random) -> Case:
    names = (
        b'name="f"; filename="../../../../etc/passwd"',
        b'name="f"; filename="C:\\\\windows\\\\system32\\\\a.png"',
        b'name="f"; filename="a\0b.png"',
        b'name="f"; filename="' + "\u202egnp.exe".encode() + b'"',
        b'name="f"; filename="' + b"n" * 3900 + b'.png"',
        b'name="f"; filename="\xff\xfe\x80"',
        b'name="f"; filename=""',
        b'name="f"; filename="."',
        b'name="f"; filename="a.png"; filename="b.png"',
        b"name=\"f\"; filename*=UTF-8''..%2f..%2fa.png",
        b'name="f"; filename="<img src=x onerror=alert(1)>"',
        b'name="f"; filename="a\r\nX-Injected: 1\r\n.png"',
        b'name="f"; filename="%2e%2e%2fa.png"',
        b'name="' + "é\ud7ff".encode() + b'"; filename="CON"',
    )
    body = _form([(draw.choice(names), images.valid("PNG", draw.randrange(5)))])
    return Case(name="odd file name", path=_path(draw), headers=_form_headers(), body=body)


def _wrong_type(draw: random.Random) -> Case:
    kinds = (
        b"application/json",
        b"application/x-www-form-urlencoded",
        b"text/plain; charset=utf-7",
        b"multipart/mixed; boundary=xyzzy",
        b"multipart/form-data",
        b"image/svg+xml",
        b"image/gif",
        b"\x80\xff",
        b"image/png, image/jpeg",
        b";;;",
        b"image/" + b"x" * 5000,
    )
    return Case(
        name="wrong content type",
        path=_path(draw),
        headers=((b"Content-Type", draw.choice(kinds)),),
        body=images.valid("PNG"),
        must_refuse=True,
    )


def _wrong_length(draw: random.Random) -> Case:
    body = images.valid("PNG")
    lengths = (b"-1", b"abc", b"1e3", b"99999999999999999999", b"0x10", b"10, 10", b"+5", b"\xb2", b"9" * 400)
    off = (b"%d" % (len(body) + 50), b"%d" % (len(body) // 2), b"0", b"300000000")
    choice = draw.randrange(4)
    if choice == 0:
        return Case(name="wrong length", path=_path(draw), body=body, length=draw.choice(lengths))
    if choice == 1:
        return Case(name="length off", path=_path(draw), body=body, length=draw.choice(off))
    chunked = (b"Transfer-Encoding", b"chunked")
    if choice == 2:
        twice = (chunked, (b"Content-Length", b"5"))
        return Case(name="length and chunks", headers=twice, body=b"5\r\nhello\r\n0\r\n\r\n", length=b"x")
    chunks = (
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\nhello",
        b"5\r\nhel",
        b"5;" + b"e" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
        b"0\r\nX-Trailer: 1\r\n\r\n",
    )
    return Case(name="bad chunks", headers=(chunked,), body=draw.choice(chunks), length=b"x")


def _odd_headers(draw: random.Random) -> Case:
    odd: tuple[Headers, ...] = (
        [(b"X-Long", b"a" * 60_000)],
        [(b"X-%d" % i, b"v" * 40) for i in range(1500)],
        [(b"X-Null", b"a\0b")],
        [(b"X Space", b"a")],
        [(b"X-High", bytes(range(128, 256)))],
        [(b"X-Request-Id", b"a" * 5000)],
        [(b"X-Request-Id", b"../../\xff{}<script>")],
        [(b"Idempotency-Key", b"")],
        [(b"Idempotency-Key", b"k" * 300)],
        [(b"Idempotency-Key", b"a"), (b"Idempotency-Key", b"b")],
        [(b"Idempotency-Key", b"\xe9 \x80")],
        [(b"Authorization", b"Bearer")],
        [(b"Authorization", b"Bearer \xff\xfe\x80")],
        [(b"Authorization", b"Basic " + b"=" * 3000)],
        [(b"Host", b"evil.example")],
        [(b"Host", b"[::1")],
        [(b"Host", b"")],
        [(b"Origin", b"https://evil.example")],
        [(b"Origin", b"http://[")],
        [(b"Origin", b"null")],
        [(b"Expect", b"200-maybe")],
        [(b"Accept", b"image/png;q=\xff, */*")],
        [(b"Accept", b",;=" * 3000)],
        [(b"Content-Encoding", b"gzip")],
        [(b"Range", b"bytes=5-1,9999999999-")],
        [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")],
        [(b"Transfer-Encoding", b"gzip, chunked, chunked")],
        [(b"Cookie", b"=;" * 8000)],
    )
    headers = (*draw.choice(odd), (b"Content-Type", b"image/png"))
    path = draw.choice((_SCORE, _ENROLL)).encode()
    body = images.valid("PNG")
    return Case(name="odd headers", path=path, headers=headers, body=body, length=b"%d" % len(body))


def _odd_path(draw: random.Random) -> Case:
    names = (
        "..%2f..%2fetc",
        "%00",
        "A",
        "-a",
        "a" * 65,
        "%F0%9F%92%A9",
        "a;b",
        "a%0d%0aX: y",
        "..",
        "%2e%2e",
        "a b",
    )
    ids = ("0" * 64, "0" * 63, "g" * 64, "..%2fkeys.json", "%00", "F" * 64, "1" * 4000)
    queries = (
        "?thumbnail=abc",
        "?thumbnail=-1",
        "?thumbnail=99999999999999999999",
        "?thumbnail=1e2",
        "?thumbnail=",
        "?thumbnail=64&thumbnail=x",
        "?purge=maybe",
        "?%ff=%fe",
        "?" + "a=b&" * 2000,
    )
    paths = (
        *(f"/v1/domains/{name}" for name in names),
        *(f"/v1/domains/{name}/versions" for name in names),
        *(f"{_ENROLL}/{reference_id}" for reference_id in ids),
        *(f"{_ENROLL}/{'0' * 64}{query}" for query in queries),
        "/static/../keys.json",
        "/static/%2e%2e/%2e%2e/keys.json",
        "/static/\0",
        "//v1//domains",
        "/v1/domains/",
        "/%",
        "/v1/%zz",
        "*",
        "http://evil.example/v1/domains",
        "/" + "x" * 40_000,
    )
    method = draw.choice((b"GET", b"GET", b"GET", b"DELETE", b"PUT", b"HEAD"))
    path = draw.choice(paths).encode()
    return Case(name="odd path", method=method, path=path, length=b"0")


def _odd_query(draw: random.Random) -> Case:
    queries = (
        b"?heatmap=x",
        b"?heatmap=",
        b"?heatmap=png&heatmap=gif",
        b"?name=" + b"n" * 2000,
        b"?heatmap=%00",
    )
    headers = ((b"Content-Type", b"image/png"),)
    path = _SCORE.encode() + draw.choice(queries)
    return Case(name="odd query", path=path, headers=headers, body=images.valid("PNG"), must_refuse=True)


def _odd_json(draw: random.Random) -> Case:
    bodies = (
        b'{"false_alarm_rate": NaN}',
        b'{"false_alarm_rate": Infinity}',
        b'{"false_alarm_rate": 1e999}',
        b'{"false_alarm_rate": "0.05"}',
        b'{"false_alarm_rate": 0}',
        b'{"coreset": 1' + b"0" * 5000 + b"}",
        b'{"coreset": 1' + b"0" * 300 + b"}",
        b'{"coreset": true}',
        b'{"coreset": 2.5}',
        b'{"note": "\\ud800"}',
        b'{"note": 5}',
        b'{"note": "' + b"n" * 501 + b'"}',
        b'{"version": -1}',
        b'{"version": 1e400}',
        b'{"version": null}',
        b'{"calibration": "magic"}',
        b'{"__class__": "os.system"}',
        b"[" * 30_000,
        b'{"a":' * 10_000,
        b"\xff\xfe\x00",
        b'\xef\xbb\xbf{"note": 1, "version": "1"}',
        b"nul",
        b"[]",
        b'"text"',
        b"{",
        b"x" * 70_000,
    )
    method, path = draw.choice(
        ((b"PUT", f"/v1/domains/{DOMAIN}"), (b"POST", f"/v1/domains/{DOMAIN}/rollback"))
    )
    kind = draw.choice(
        (b"application/json", b"application/json", b"application/json; charset=utf-16", b"text/json")
    )
    headers = ((b"Content-Type", kind),)
    body = draw.choice(bodies)
    return Case(
        name="odd JSON", method=method, path=path.encode(), headers=headers, body=body, must_refuse=True
    )


def _no_http(draw: random.Random) -> Case:
    raws = (
        b"\0" * 100,
        b"GET /v1/domains\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(200),
        b"GET / HTTP/9.9\r\nHost: {host}\r\n\r\n",
        b"GET /v1/domains HTTP/1.0\r\n\r\n",
        b"GET /v1/domains HTTP/1.1\r\n\r\n",
        b"FOO /v1/domains HTTP/1.1\r\nHost: {host}\r\n\r\n",
        b"GET /v1/\xff\xfe HTTP/1.1\r\nHost: {host}\r\n\r\n",
        b"GET  /  HTTP/1.1\r\nHost: {host}\r\n\r\n",
        b"GET / HTTP/1.1\nHost: {host}\n\n",
        b"GET / HTTP/1.1\r\nHost: {host}\r\n folded: yes\r\n\r\n",
        b"POST " + _SCORE.encode() + b" HTTP/1.1\r\nHost: {host}\r\n",
        b"A" * 100_000,
        bytes(draw.randrange(256) for _ in range(200)),
    )
    return Case(name="no HTTP", raw=draw.choice(raws))


def _wrong_method(draw: random.Random) -> Case:
    method = draw.choice((b"PATCH", b"TRACE", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"PROPFIND", b"GET"))
    path = draw.choice((_SCORE, "/healthz", "/v1/bundle", "/v1/domains", "/", "/docs"))
    if method == b"GET":
        path = _SCORE
    return Case(name="wrong method", method=method, path=path.encode(), length=b"0", must_refuse=True)


def _path(draw: random.Random) -> bytes:
    return draw.choice((_SCORE, _ENROLL)).encode()


_Kind = Callable[[random.Random], Case]
_KINDS: tuple[_Kind, ...] = (
    _image_case("flipped bytes", images.flipped, must_refuse=False),
    _image_case("truncated image", images.truncated, must_refuse=False),
    _image_case("bomb", images.bomb, must_refuse=True),
    _image_case("swelling text", images.hollow, must_refuse=False),
    _image_case("polyglot", images.polyglot, must_refuse=True),
    _image_case("no image", images.no_image, must_refuse=True),
    _mutated_form,
    _broken_form,
    _odd_name,
    _wrong_type,
    _wrong_length,
    _odd_headers,
    _odd_path,
    _odd_query,
    _odd_json,
    _no_http,
    _wrong_method,
)
