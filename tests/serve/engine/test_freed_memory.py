"""Freed memory goes back to the system some time after large photographs, and only then."""

import asyncio
import contextvars
import sys

import pytest

from serve.engine.freed_memory import FreedMemory

MIB = 2**20


def test_it_is_given_back_once_for_all_that_was_done_meanwhile() -> None:
    given_back: list[str] = []
    request = contextvars.ContextVar("request", default="none")

    async def run() -> None:
        freed = FreedMemory(lambda: given_back.append(request.get()), after_s=0.05)
        request.set("this one")
        freed.note_work(MIB)
        await asyncio.sleep(0.15)
        assert given_back == []  # nothing large
        for _ in range(3):
            freed.note_work(60 * MIB)
        await asyncio.sleep(0.3)
        assert given_back == ["none"]
        freed.note_work(60 * MIB)
        await asyncio.sleep(0.3)
        assert given_back == ["none", "none"]

    asyncio.run(run())


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries need not have it")
def test_the_c_library_of_this_machine_is_asked() -> None:
    blocks = [b"x" * 60_000 for _ in range(500)]  # too small to be mapped one by one
    del blocks[::2]
    assert FreedMemory()._give_back() is True
    assert len(blocks) == 250
