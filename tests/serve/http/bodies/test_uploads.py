"""Photographs that come as a body or a form, and those that must not."""

from collections.abc import Iterator

import pytest

from tests.serve.support.http import SMALL, Served, code_of, served
from tests.serve.support.malformed_images import bomb, polyglot, truncated, valid


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("service")) as running:
        running.domain("d")
        yield running


def both(service: Served, **options: object) -> list[tuple[int, str, str]]:
    """What scoring and enrolling answer to it; nothing is enrolled by what is refused."""
    before = service.store.head("d")
    answers = [service.ask("POST", f"/v1/domains/d/{what}", **options) for what in ("score", "references")]
    assert service.store.head("d") == before
    return [(a.status_code, code_of(a), a.json()["error"]["message"]) for a in answers]


def test_one_bad_file_among_good_ones_refuses_all_by_its_name(service: Served) -> None:
    files = [("f", ("good.png", valid("PNG", 30))), ("f", ("../bad.png", b"\x89PNG\r\n\x1a\n"))]
    for status, code, message in both(service, files=files):
        assert (status, code) == (422, "image_unreadable")
        assert message.startswith("bad.png is")


@pytest.mark.parametrize("make", [bomb, polyglot, truncated], ids=lambda make: make.__name__)
def test_images_that_are_not_what_they_should_be(service: Served, make: object) -> None:
    import random

    for seed in range(8):
        data = make(random.Random(seed))  # type: ignore[operator]
        for status, code, _ in both(service, data=data, headers={"Content-Type": "image/png"}):
            assert (status, code) == (422, "image_unreadable")


def test_limits_hold_in_a_raw_body_and_in_a_form(service: Served) -> None:
    many_pixels = valid("JPEG", size=(101, 100))
    assert len(many_pixels) < SMALL.max_image_bytes
    for status, _, message in both(service, data=many_pixels):
        assert status == 422
        assert "10,000 allowed" in message
    many_bytes = valid("PNG") + b"\0" * SMALL.max_image_bytes
    for options in ({"data": many_bytes}, {"files": [("f", ("large.png", many_bytes))]}):
        for status, code, _ in both(service, **options):
            assert (status, code) == (413, "too_large")
    for status, code, message in both(service, files=[("f", (f"{i}.png", valid("PNG"))) for i in range(5)]):
        assert (status, code) == (413, "too_large")
        assert "4 files" in message


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 422, "image_unreadable"),
        (b"{}", {"Content-Type": "application/json"}, 415, "unsupported_media_type"),
        (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
        (valid("PNG"), {"Content-Type": "image/gif"}, 415, "unsupported_media_type"),
        (valid("PNG"), {"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
        (valid("PNG"), {"Content-Type": "multipart/form-data"}, 400, "malformed_multipart"),
        (b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}, 422, "image_unreadable"),
        (
            b"--b\r\n\r\nx\r\n--b--",
            {"Content-Type": "multipart/form-data; boundary=b"},
            400,
            "malformed_multipart",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n--b--',
            {"Content-Type": "multipart/form-data; boundary=b"},
            422,
            "unexpected_field",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nhello\r\n',
            {"Content-Type": "multipart/form-data; boundary=b"},
            400,
            "malformed_multipart",
        ),
    ],
)
def test_bodies_that_cannot_be_read(
    service: Served, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    for answer in both(service, data=body, headers=headers):
        assert answer[:2] == (status, code)


@pytest.mark.parametrize("key", ["", "k" * 256, "a b", "\xe9"])
def test_idempotency_keys_are_short_and_visible(service: Served, key: str) -> None:
    answer = service.ask(
        "POST",
        "/v1/domains/d/references",
        data=valid("PNG", 40),
        headers={"Idempotency-Key": key.encode("latin-1")},
    )
    assert answer.status_code == 422
    assert "dempotency" in answer.json()["error"]["message"]


def test_too_many_heatmaps_are_refused_before_they_are_made(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    from serve.settings import Limits

    with served(tmp_path_factory.mktemp("many"), limits=Limits()) as running:
        running.domain("d")
        files = [("f", ("a.png", valid("PNG", size=(4, 4)))) for _ in range(17)]
        assert running.ask("POST", "/v1/domains/d/score", files=files).status_code == 200
        refused = running.ask("POST", "/v1/domains/d/score?heatmap=png", files=files)
        assert (refused.status_code, code_of(refused)) == (422, "invalid_value")
