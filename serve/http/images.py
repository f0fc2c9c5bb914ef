"""Uploads to arrays, off the event loop: processes decode, and a few threads do the rest."""

# h x w pixels of what methods take, H x W of a picture to draw on

import asyncio
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from dgad.domains.geometry import Geometry
from dgad.domains.images import content_key
from dgad.domains.wide_values import WideRange
from dgad.references.domain import Upload
from dgad.references.duplicates import fingerprint_of_thumbnail
from serve.decoding.bounds import CpuAllowance
from serve.decoding.pool import DecodePool
from serve.engine.backend import BusyError
from serve.http.bodies.multipart import RawFile
from serve.http.bodies.polyglots import check_is_only_image

_QUICKLY_HASHED_BYTES = 2**20
"""In a millisecond or so."""
_MAX_THREADS = 8
P = ParamSpec("P")
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Photograph:
    """A query's photograph, decoded."""

    name: str
    key: str
    """Content id, as `ImageSet.keys` has them."""
    image: NDArray[np.uint8]
    """RGB, shape (3, h, w)."""
    scale: str
    """That it was brought to."""
    width_px: int
    height_px: int
    picture: NDArray[np.uint8] | None
    """RGB, shape (H, W, 3), in its own size up to the heatmap's; only where a heatmap is drawn."""
    bit_depth: int | None
    """That its values were read by, where it has more than 8 bits a channel."""
    wide: WideRange | None
    """How much of more than 8 bits a channel it uses; None where it has no more."""

    @property
    def num_bytes(self) -> int:
        """That its pixels hold."""
        return self.image.nbytes + (0 if self.picture is None else self.picture.nbytes)


class Workers:
    """Threads for one kind of work, which lets go of the GIL: reading the store, or drawing."""

    def __init__(self, max_waiting: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(
            max(2, min(_MAX_THREADS, os.cpu_count() or 2)), thread_name_prefix=name
        )
        self._max_waiting = max_waiting
        self._num_waiting = 0

    def check_is_free(self) -> None:
        """`BusyError` while as much waits as may; one request may then bring any number that is allowed."""
        if self._num_waiting >= self._max_waiting:
            raise BusyError("More pictures wait to be drawn than can be answered in time; try again.")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `work`, done in a thread."""
        self._num_waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, functools.partial(work, *args, **kwargs)
            )
        finally:
            self._num_waiting -= 1

    def close(self) -> None:
        """End the threads; what has not begun is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)


async def decode_query(
    pool: DecodePool,
    file: RawFile,
    allowance: CpuAllowance,
    scale: str,
    *,
    picture_px: int,
    bit_depth: int | None = None,
) -> Photograph:
    """`ImageError` where the file is no image, or not only one, or too large, or too much work."""
    pixels = await pool.decode(
        file.data, file.name, allowance, scale=scale, picture_px=picture_px, bit_depth=bit_depth
    )
    check_is_only_image(file.data, file.name)
    assert pixels.image is not None
    return Photograph(
        name=file.name,
        key=content_key(await _hash(file.data), Geometry(scale=scale), bit_depth),
        image=pixels.image,
        scale=scale,
        width_px=pixels.width_px,
        height_px=pixels.height_px,
        picture=pixels.picture,
        bit_depth=bit_depth,
        wide=pixels.wide,
    )


async def decode_upload(
    pool: DecodePool, file: RawFile, allowance: CpuAllowance, *, bit_depth: int | None = None
) -> Upload:
    """The same for a reference to be, whose bytes are kept as they came."""
    pixels = await pool.decode(file.data, file.name, allowance, wants_thumbnail=True, bit_depth=bit_depth)
    check_is_only_image(file.data, file.name)
    assert pixels.thumbnail is not None
    return Upload(
        name=file.name,
        data=file.data,
        width_px=pixels.width_px,
        height_px=pixels.height_px,
        fingerprint=fingerprint_of_thumbnail(pixels.thumbnail),
        wide=pixels.wide,
    )


async def decode_all(decoding: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What each gives, in order; where one fails, the others are given up first."""
    tasks = [asyncio.ensure_future(one) for one in decoding]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _hash(data: bytes) -> str:
    if len(data) < _QUICKLY_HASHED_BYTES:
        return hashlib.sha256(data).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
