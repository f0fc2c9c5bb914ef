"""Uploads to arrays, off the event loop: a few threads decode, and only so much may wait for them."""

# S pixels a side of what methods take, H x W of a picture to draw on

import asyncio
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dgad.domains.decoding import DecodedImage, DecodeLimits, decode_with_range
from dgad.domains.images import content_key, shrink
from dgad.domains.wide_values import WideRange
from dgad.references.domain import Upload
from dgad.references.duplicates import fingerprint
from serve.engine.backend import BusyError
from serve.http.multipart import RawFile
from serve.http.polyglots import check_is_only_image
from serve.settings import Limits

_MAX_PICTURE_PX = 2048
"""Longest side of a heatmap's picture."""
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
    """RGB, shape (3, S, S)."""
    width_px: int
    height_px: int
    picture: NDArray[np.uint8] | None
    """RGB, shape (H, W, 3), in its own size up to 2048 px a side; only where a heatmap is drawn."""
    bit_depth: int | None
    """That its values were read by, where it has more than 8 bits a channel."""
    wide: WideRange | None
    """How much of more than 8 bits a channel it uses; None where it has no more."""


class Workers:
    """Threads for decoding, drawing and reading the store; what is CPU work there lets go of the GIL."""

    def __init__(self, max_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(
            max(2, min(_MAX_THREADS, os.cpu_count() or 2)), thread_name_prefix="dgad-http"
        )
        self._max_waiting = max_waiting
        self._num_waiting = 0

    def check_is_free(self) -> None:
        """`BusyError` while as much waits as may; one request may then bring any number that is allowed."""
        if self._num_waiting >= self._max_waiting:
            raise BusyError("More photographs wait to be decoded than can be answered in time; try again.")

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


def decode_query(
    file: RawFile, size_px: int, limits: Limits, *, wants_picture: bool, bit_depth: int | None = None
) -> Photograph:
    """`ImageError` where the file is no image, or not only one, or too large."""
    decoded = _decode(file, limits, bit_depth)
    image = decoded.image
    return Photograph(
        name=file.name,
        key=content_key(hashlib.sha256(file.data).hexdigest(), size_px, bit_depth),
        image=shrink(image, size_px),
        width_px=image.width,
        height_px=image.height,
        picture=_picture(image) if wants_picture else None,
        bit_depth=bit_depth,
        wide=decoded.wide,
    )


def decode_upload(file: RawFile, limits: Limits, *, bit_depth: int | None = None) -> Upload:
    """The same for a reference to be, whose bytes are kept as they came."""
    decoded = _decode(file, limits, bit_depth)
    image = decoded.image
    return Upload(
        name=file.name,
        data=file.data,
        width_px=image.width,
        height_px=image.height,
        fingerprint=fingerprint(image),
        wide=decoded.wide,
    )


def _decode(file: RawFile, limits: Limits, bit_depth: int | None) -> DecodedImage:
    bounds = DecodeLimits(max_bytes=limits.max_image_bytes, max_pixels=limits.max_pixels)
    decoded = decode_with_range(file.data, file.name, bounds, bit_depth=bit_depth)
    check_is_only_image(file.data, file.name)
    return decoded


def _picture(image: Image.Image) -> NDArray[np.uint8]:
    longest = max(image.size)
    if longest > _MAX_PICTURE_PX:
        size = [max(1, round(side * _MAX_PICTURE_PX / longest)) for side in image.size]
        image = image.resize((size[0], size[1]), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(image)
