"""Decoded photographs are held within a bound, whoever sends how many of which size."""

import asyncio
import io

import numpy as np
import pytest
from PIL import Image

from dgad.domains.geometry import Geometry
from serve.http.held_pixels import HeldPixels, expect_bytes, expect_pixels, group

MIB = 2**20


def test_what_is_held_stays_within_the_bound_and_is_given_back() -> None:
    async def run() -> None:
        held = HeldPixels(100 * MIB)
        most = 0

        async def one(num_bytes: int) -> None:
            nonlocal most
            async with held.hold(num_bytes) as share:
                most = max(most, held.num_bytes)
                await asyncio.sleep(0)
                share.shrink(num_bytes // 2)
                await asyncio.sleep(0)

        await asyncio.gather(*(one(size * MIB) for size in (40, 70, 30, 400, 5, 60, 60, 1)))
        assert 60 * MIB < most <= 100 * MIB
        assert held.num_bytes == 0

    asyncio.run(asyncio.wait_for(run(), 10))


def test_who_leaves_gives_up_its_turn_and_small_ones_never_wait() -> None:
    async def run() -> None:
        held = HeldPixels(100 * MIB)

        async def wait(num_bytes: int) -> None:
            async with held.hold(num_bytes):
                await asyncio.sleep(60)

        first = asyncio.ensure_future(wait(90 * MIB))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(wait(90 * MIB))
        await asyncio.sleep(0)
        async with held.hold(MIB):
            assert held.num_bytes == 91 * MIB
        second.cancel()
        first.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert held.num_bytes == 0
        async with held.hold(100 * MIB):
            pass

    asyncio.run(asyncio.wait_for(run(), 10))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("scale", ["native", "0.5", "2", "fit 300", "squash 64"])
def test_no_less_is_expected_than_comes(kind: str, scale: str) -> None:
    image = Image.fromarray(np.zeros((1500, 900, 3), np.uint8))
    file = io.BytesIO()
    image.save(file, kind)
    comes = Geometry(scale=scale).resize(image).nbytes + 3 * 600 * 1000
    assert comes <= expect_bytes(file.getvalue(), scale, 1000)


def test_photographs_are_grouped_in_order_a_large_one_alone() -> None:
    sizes = [("a", 3), ("b", 4), ("c", 50), ("d", 1), ("e", 9), ("f", 1)]
    assert list(group(sizes, 10)) == [
        (["a", "b"], 7),
        (["c"], 50),
        (["d", "e"], 10),
        (["f"], 1),
    ]


def test_what_was_held_is_heard_of_once_it_is_not_any_more() -> None:
    heard: list[int] = []

    async def run() -> None:
        held = HeldPixels(100 * MIB, on_release=heard.append)
        async with held.hold(400 * MIB) as share:
            share.shrink(10 * MIB)
            assert heard == []

    asyncio.run(run())
    assert heard == [100 * MIB]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
def test_the_pixels_that_will_be_looked_at_are_known_by_the_header(kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (300, 200)).save(file, kind)
    assert expect_pixels(file.getvalue(), "native") == 60_000
    assert expect_pixels(file.getvalue(), "0.5") == 15_000
    assert expect_pixels(file.getvalue(), "squash 64") == 4096
    assert expect_pixels(file.getvalue()[:10], "native") == 0


def test_a_header_that_claims_too_much_counts_as_what_is_decoded_at_most() -> None:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "PNG")
    claimed = file.getvalue()[:16] + b"\xff" * 8 + file.getvalue()[24:]
    assert expect_pixels(claimed, "4") == 64 * MIB
