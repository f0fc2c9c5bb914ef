"""Names, polyglots, thumbnails in memory, logs and heatmaps: what needs no server."""

import asyncio
import contextlib
import io
import json
import logging
import zipfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dgad.errors import ImageError, MissingError, StoreError
from dgad.evaluation.heatmaps import heat_png
from serve.decoding.bounds import CpuAllowance
from serve.decoding.pool import DecodePool
from serve.http import app
from serve.http.bodies.multipart import RawFile, safe_name
from serve.http.bodies.polyglots import check_is_only_image, image_type
from serve.http.images import Photograph, decode_query
from serve.http.thumbnails import Thumbnails
from serve.logs import ACCESS, log_to
from serve.settings import Limits
from tests.serve.support.malformed_images import MEDIA_TYPES, valid


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("part-001.jpg", "part-001.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\parts\\a b.png", "a b.png"),
        ("a\0b\r\n\x1bc.png", "abc.png"),
        ("gnp.\u202egpj.exe", "gnp.gpj.exe"),
        ("Teil Größe 5.jpg", "Teil Größe 5.jpg"),
        ("", "photograph"),
        ("..", "photograph"),
        (" . ", "photograph"),
        ("\ud800", "?"),
        ("n" * 500 + ".jpeg", "n" * 115 + ".jpeg"),
        ("n" * 500, "n" * 120),
    ],
)
def test_names_are_for_people(given: str, name: str) -> None:
    assert safe_name(given) == name


@pytest.mark.parametrize("kind", list(MEDIA_TYPES))
def test_plain_images_are_images_only(kind: str) -> None:
    check_is_only_image(valid(kind), "a")
    check_is_only_image(valid(kind) + bytes(5000), "a")  # what cameras append
    assert image_type(valid(kind)) == MEDIA_TYPES[kind]


def test_an_archive_is_found_with_a_comment_or_more_behind_it() -> None:
    archive = io.BytesIO(valid("PNG"))
    archive.seek(0, io.SEEK_END)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("a", "b")
        file.comment = b"c" * 3000
    for data in (archive.getvalue(), archive.getvalue() + b"more"):
        with pytest.raises(ImageError, match="zip archive"):
            check_is_only_image(data, "a.png")
    check_is_only_image(valid("PNG") + b"PK\x05\x06" + b"\xff" * 100, "a.png")  # points nowhere


def test_an_ingress_keeps_nothing_of_what_was_purged_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_FORGET_EVERY_S", 0.0)
    kept, forgotten = Thumbnails(), []
    for domain in ("changed", "deleted", "unchanged", "out-of-reach"):
        kept.put(domain, 3, "id", 32, b"jpeg")

    async def head(domain: str) -> SimpleNamespace:
        if domain == "deleted":
            raise MissingError("There is no such domain.")
        if domain == "out-of-reach":
            raise StoreError("It cannot be reached.")
        return SimpleNamespace(sequence=4 if domain == "changed" else 3)

    store = SimpleNamespace(forget=lambda: forgotten.append(True))
    service: Any = SimpleNamespace(store=store, thumbnails=kept, head=head)

    async def run() -> None:
        task = asyncio.create_task(app._forget_purged(service))
        while len(forgotten) < 2:
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(run())
    assert kept.list_domains() == {"unchanged": 3, "out-of-reach": 3}


def test_thumbnails_are_kept_for_the_newest_state_and_bounded() -> None:
    kept = Thumbnails(max_bytes=100)
    kept.put("d", 1, "a", 32, b"x" * 60)
    assert kept.get("d", 1, "a", 32) == b"x" * 60
    assert kept.get("d", 1, "a", 64) is None
    assert kept.get("d", 2, "a", 32) is None  # the domain has changed
    assert kept.get("d", 1, "a", 32) is None  # and what was kept of it is gone
    kept.put("d", 2, "a", 32, b"x" * 60)
    kept.put("d", 1, "a", 32, b"late" * 10)  # made of what the domain was before
    kept.put("e", 1, "b", 32, b"y" * 60)
    assert kept.get("d", 2, "a", 32) is None
    assert kept.get("e", 1, "b", 32) == b"y" * 60


@pytest.fixture
def loggers() -> Iterator[None]:
    """As they were, afterwards."""
    found = [logging.getLogger(name) for name in ("dgad", "serve", "uvicorn.error")]
    before = [(list(logger.handlers), logger.level, logger.propagate) for logger in found]
    yield
    for logger, (handlers, level, propagate) in zip(found, before, strict=True):
        logger.handlers[:], logger.level, logger.propagate = handlers, level, propagate


@pytest.mark.usefixtures("loggers")
def test_log_lines_are_json_with_their_fields() -> None:
    stream = io.StringIO()
    log_to(io.StringIO())
    log_to(stream)
    ACCESS.info("request", extra={"fields": {"request_id": "r", "status": 200}})
    try:
        raise ValueError("wrong\nline")
    except ValueError:
        logging.getLogger("serve.replicas.scorer_replica").exception("broke")
    logging.getLogger("uvicorn.error").info("began")  # of no use to anybody
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["message"], first["request_id"], first["status"]) == ("request", "r", 200)
    assert first["at"].endswith("Z")
    assert "ValueError: wrong" in second["traceback"]


def test_a_heatmap_alone_is_dark_where_it_is_cold() -> None:
    heat = np.zeros((8, 8), dtype=np.float32)
    heat[:, 4:] = 2.0
    pixels = np.asarray(Image.open(io.BytesIO(heat_png(heat, (40, 20), low=0.0, high=1.0)))).astype(int)
    assert pixels.shape == (20, 40, 3)
    assert pixels[:, :10].max() < 10
    assert pixels[:, 30:].sum(axis=2).min() > 500
    flat = np.asarray(Image.open(io.BytesIO(heat_png(heat, (40, 20), low=1.0, high=1.0))))
    assert flat.max() < 10


def test_large_photographs_have_pictures_of_a_bounded_size() -> None:
    data = io.BytesIO()
    Image.new("RGB", (5000, 50), "white").save(data, "PNG")

    async def decode() -> Photograph:
        async with contextlib.aclosing(DecodePool(Limits(), max_waiting=1, num_processes=1)) as pool:
            file = RawFile(name="a", data=data.getvalue())
            return await decode_query(pool, file, CpuAllowance([], 5.0), "native", picture_px=2048)

    made = asyncio.run(decode())
    assert made.picture is not None
    assert made.picture.shape == (20, 2048, 3)
    assert (made.width_px, made.height_px) == (5000, 50)
