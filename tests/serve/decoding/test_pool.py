"""Photographs decoded in processes: the same pixels, bounds of memory and time, and no process left over."""

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
import psutil
import pytest
from PIL import Image

from dgad.domains.decoding import decode_image
from dgad.domains.geometry import Geometry
from dgad.errors import ImageError
from dgad.references.duplicates import fingerprint, fingerprint_of_thumbnail
from serve.decoding import bounds
from serve.decoding.bounds import CpuAllowance
from serve.decoding.pool import DecodePool
from serve.engine.backend import BusyError
from serve.settings import Limits
from tests import decode_bombs
from tests.serve.support.malformed_images import valid

LARGE = decode_bombs.png(width=3000, height=3000)
"""Of 38 MB as Pixels, and some .1 s."""


def allow(*files: bytes, seconds: float = 5.0) -> CpuAllowance:
    return CpuAllowance(files, seconds)


@contextlib.asynccontextmanager
async def running(num_processes: int = 1) -> AsyncIterator[DecodePool]:
    pool = DecodePool(Limits(), max_waiting=8, num_processes=num_processes)
    try:
        yield pool
    finally:
        await pool.aclose()


def in_pool(work: Callable[[DecodePool], Awaitable[None]], num_processes: int = 1) -> None:
    async def run() -> None:
        async with running(num_processes) as pool:
            await asyncio.wait_for(work(pool), 120)

    asyncio.run(run())


def test_pixels_are_those_of_this_process() -> None:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 4096, (40, 3000), dtype=np.uint16)
    Image.fromarray(pixels).save(buffer, "PNG")
    files = [(valid("JPEG", size=(300, 200)), None), (buffer.getvalue(), 12), (buffer.getvalue(), None)]

    async def work(pool: DecodePool) -> None:
        for data, depth in files:
            image = decode_image(data, "a", bit_depth=depth)
            wanted = {"scale": "squash 64", "picture_px": 2048, "wants_thumbnail": True}
            found = await pool.decode(data, "a", allow(data), bit_depth=depth, **wanted)
            assert (found.width_px, found.height_px) == image.size
            assert found.image is not None
            assert found.thumbnail is not None
            assert found.picture is not None
            np.testing.assert_array_equal(found.image, Geometry(scale="squash 64").resize(image))
            assert found.image.flags.writeable
            assert fingerprint_of_thumbnail(found.thumbnail) == fingerprint(image)
            if image.width <= 2048:
                np.testing.assert_array_equal(found.picture, np.asarray(image))
            assert (found.wide is None) == (depth is None and data is files[0][0])

    in_pool(work)


@pytest.mark.slow
def test_the_largest_photograph_comes_in_its_own_size_and_no_scale_makes_more_of_one() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8192, 8192), (10, 200, 30)).save(buffer, "JPEG")
    large = buffer.getvalue()

    async def work(pool: DecodePool) -> None:
        found = await pool.decode(large, "a.jpg", allow(large, seconds=20), scale="native")
        assert found.image is not None
        assert found.image.shape == (3, 8192, 8192)
        corners = found.image[:, ::8191, ::8191].reshape(3, 4)
        np.testing.assert_array_equal(corners, found.image[:, :1, 0].repeat(4, 1))
        small = valid("JPEG", size=(300, 300))
        with pytest.raises(ImageError, match="choose a smaller scale"):
            await pool.decode(small, "b.jpg", allow(small), scale="fit 16384")
        enlarged = await pool.decode(small, "b.jpg", allow(small), scale="4")
        assert enlarged.image is not None
        assert enlarged.image.shape == (3, 1200, 1200)

    in_pool(work)


def test_what_takes_too_long_is_refused_by_name_and_its_process_replaced() -> None:
    async def work(pool: DecodePool) -> None:
        with pytest.raises(ImageError, match=r"^bomb\.png takes more than 0\.0 s to decode"):
            await pool.decode(LARGE, "bomb.png", CpuAllowance([], 0.02), scale="squash 64")
        assert (await pool.decode(LARGE, "a", allow(LARGE), scale="squash 64")).width_px == 3000

    in_pool(work)


def test_photographs_of_one_request_share_its_time() -> None:
    async def work(pool: DecodePool) -> None:
        allowance = allow(LARGE)
        await pool.decode(LARGE, "a", allowance)
        assert 0 < allowance.left_s < allowance.total_s
        allowance.spend(60.0)
        with pytest.raises(ImageError, match=r"^b takes more than"):
            await pool.decode(valid("PNG"), "b", allowance)
        assert (await pool.decode(valid("PNG"), "c", allow())).width_px == 64

    in_pool(work)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bound a process's memory")
def test_what_takes_too_much_memory_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_BYTES", 16 * 2**20)
    files = [
        LARGE,
        decode_bombs.png(width=3000, height=3000, colour=6),
        decode_bombs.flat_tiff("tiff_lzw", side=6000),
    ]

    async def work(pool: DecodePool) -> None:
        for data in files:
            with pytest.raises(ImageError, match=r"^bomb takes more than 1\d MiB of memory to decode"):
                await pool.decode(data, "bomb", allow(data))
        assert (await pool.decode(valid("PNG"), "a", allow())).width_px == 64

    in_pool(work)


def test_a_process_that_was_killed_is_replaced_and_its_photograph_decoded() -> None:
    async def work(pool: DecodePool) -> None:
        await pool.start()
        (pid,) = pool.pids
        os.kill(pid, signal.SIGKILL)
        assert (await pool.decode(valid("PNG"), "a", allow())).width_px == 64
        assert pool.pids != [pid]

    in_pool(work)


def test_processes_that_were_killed_while_idle_are_no_photographs_fault() -> None:
    async def work(pool: DecodePool) -> None:
        await pool.start()
        killed = pool.pids
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        for pid in killed:
            psutil.Process(pid).wait()
        assert (await pool.decode(valid("PNG"), "a", allow())).width_px == 64
        assert not set(killed) & set(pool.pids)

    in_pool(work, num_processes=3)


def test_a_photograph_nobody_waits_for_leaves_its_process_to_the_next() -> None:
    slow = decode_bombs.png(interlaced=True)

    async def work(pool: DecodePool) -> None:
        await pool.start()
        (pid,) = pool.pids
        waiting = asyncio.ensure_future(pool.decode(slow, "a", allow(seconds=3600)))
        await asyncio.sleep(0.1)
        os.kill(pid, signal.SIGSTOP)  # as if it took for ever
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await pool.decode(valid("PNG"), "b", allow())).width_px == 64
        assert not psutil.pid_exists(pid)

    in_pool(work)


def test_only_so_many_wait() -> None:
    async def work(pool: DecodePool) -> None:
        await pool.start()
        pool.check_is_free()
        tasks = [asyncio.ensure_future(pool.decode(valid("PNG"), "a", allow())) for _ in range(8)]
        for _ in range(3):
            await asyncio.sleep(0)
        with pytest.raises(BusyError):
            pool.check_is_free()
        pool.check_is_free("somebody else")
        await asyncio.gather(*tasks)
        pool.check_is_free()

    in_pool(work)


_KILLED = """
import asyncio, time
from serve.decoding.pool import DecodePool
from serve.settings import Limits
async def main():
    pool = DecodePool(Limits(), max_waiting=8)
    await pool.start()
    print(*pool.pids, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def test_processes_end_with_a_service_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _KILLED], stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        pids = [int(pid) for pid in service.stdout.readline().split()]
        assert len(pids) >= 2
        service.kill()
    deadline = time.monotonic() + 60
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, "they live on"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_a_decoding_process_knows_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")

    async def work(pool: DecodePool) -> None:
        await pool.start()
        (pid,) = pool.pids
        assert "AWS_SECRET_ACCESS_KEY" not in psutil.Process(pid).environ()
        loaded = {os.path.basename(m.path) for m in psutil.Process(pid).memory_maps()}
        assert not any(name.startswith(("libtorch", "libarrow", "_raylet")) for name in loaded)

    in_pool(work)
