"""The load of the benchmark of serving: new bytes every time, the same pixels, and every answer counted."""

import asyncio
import contextlib
import io
import itertools

import numpy as np
import pytest
import serving
import serving_load
from PIL import Image

from serve.decoding.bounds import CpuAllowance
from serve.decoding.pool import DecodePool
from serve.http.bodies.multipart import RawFile
from serve.http.images import Photograph, decode_query
from serve.settings import Limits
from tests.serve.support.misbehaving import Say, error, misbehaving_server


def _png() -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def test_no_two_bodies_are_equal_and_all_are_the_picture() -> None:
    bodies = list(itertools.islice(serving_load.unique_bodies([_png()]), 3))
    assert len(set(bodies)) == 3

    async def decode() -> list[Photograph]:
        async with contextlib.aclosing(DecodePool(Limits(), max_waiting=3, num_processes=1)) as pool:
            files = [RawFile(name="x", data=body) for body in bodies]
            return [
                await decode_query(pool, file, CpuAllowance([], 5.0), "squash 32", picture_px=0)
                for file in files
            ]

    decoded = asyncio.run(decode())
    assert len({photograph.key for photograph in decoded}) == 3
    assert all(np.array_equal(photograph.image, decoded[0].image) for photograph in decoded)


def test_every_answer_is_timed_and_a_refusal_ends_the_load() -> None:
    with misbehaving_server() as server:
        server.script = [Say(value={}, after_s=0.05)]
        seconds, latencies_s = asyncio.run(
            serving_load.load(server.url + "/score", [_png()], clients=4, seconds=0.3)
        )
        assert len(latencies_s) == len(server.heard) - 4  # the first of each client is not counted
        assert len({heard.body for heard in server.heard}) == len(server.heard)
        assert 0.05 <= min(latencies_s) <= max(latencies_s) <= seconds < 10
        server.script = [error(429, "busy", "Too much waits.")]
        with pytest.raises(RuntimeError, match=r"answered 429: .*Too much waits"):
            asyncio.run(serving_load.load(server.url, [_png()], clients=1, seconds=1))


def test_a_side_is_the_median_of_its_rounds() -> None:
    side = serving.Side(name="x")
    for latency_s in (0.1, 0.2, 0.9):
        side.rounds.append(serving.Measured(seconds=2.0, latencies_s=[latency_s] * 5, images_each=16))
    assert side.median_ms == pytest.approx(200)
    assert side.slow_ms == pytest.approx(200)
    assert side.per_second == pytest.approx(40)
