"""The process that decodes: `python -m serve.decoding.worker SOCKET FILE`, both open already.

Started by `serve.decoding.process`. It ends when the other end of the socket closes, as it does when the
service is killed, at the latest when the photograph it is at has had its time. It loads no torch and no Ray.
"""

import contextlib
import os
import resource
import signal
import socket
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dgad.domains.decoding import DamagedImageError, DecodeLimits, OutOfMemoryError, decode_with_range
from dgad.domains.geometry import MAX_SCALED_PIXELS, Geometry
from dgad.domains.headers import estimate_decoding_bytes
from dgad.domains.shrinking import shrink_to_grey
from dgad.errors import ImageError
from serve.decoding.messages import Order, Pixels, read_order, write_pixels, write_refusal

_OUT_BYTES = 8
"""For each scaled pixel: 4 as Pillow has it, 3 as it goes out, and the way between."""
_PAGE_BYTES = resource.getpagesize()


def main() -> None:
    """Answer orders until the other end closes."""
    channel, fd = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    warnings.simplefilter("ignore")  # of damaged metadata: what came is answered with a sentence
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, even inside of a decoder
    with contextlib.suppress(OSError):  # should memory run out, it is not the service that goes
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with contextlib.suppress(OSError), channel, channel.makefile("rb") as orders:
        channel.sendall(b"{}\n")  # it is ready
        for line in orders:
            channel.sendall(_answer(read_order(line), fd))


def _answer(order: Order, fd: int) -> bytes:
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, order.max_cpu_s)
    data = os.pread(fd, order.num_bytes, 0)
    estimate = estimate_decoding_bytes(data)
    _bound_memory(order.max_memory)
    try:
        pixels = _decode(order, data)
        _bound_memory(None)
        return write_pixels(pixels, fd, time.process_time() - started)
    except (ImageError, MemoryError) as refusal:
        _bound_memory(None)
        return write_refusal(_say_why(refusal, order, estimate), time.process_time() - started)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _say_why(refusal: Exception, order: Order, estimate: int) -> str:
    """The refusal's own words, unless it is memory that has run out."""
    is_memory = isinstance(refusal, MemoryError | OutOfMemoryError)
    if is_memory or (isinstance(refusal, DamagedImageError) and estimate > order.max_memory):
        mib = order.max_memory // 2**20
        return f"{order.name} takes more than {mib} MiB of memory to decode; crop or shrink it."
    return str(refusal)


def _decode(order: Order, data: bytes) -> Pixels:
    limits = DecodeLimits(max_bytes=order.max_bytes, max_pixels=order.max_pixels)
    decoded = decode_with_range(data, order.name, limits, bit_depth=order.bit_depth)
    image = decoded.image
    # What is asked for may be larger than what came, where the scale enlarges.
    _bound_memory(order.max_memory + _OUT_BYTES * _count_scaled(order, image))
    return Pixels(
        width_px=image.width,
        height_px=image.height,
        image=Geometry(scale=order.scale).resize(image) if order.scale else None,
        picture=_fit(image, order.picture_px) if order.picture_px else None,
        thumbnail=shrink_to_grey(image) if order.wants_thumbnail else None,
        wide=decoded.wide,
    )


def _count_scaled(order: Order, image: Image.Image) -> int:
    if not order.scale:
        return 0
    height, width = Geometry(scale=order.scale).scaled_size(image.height, image.width)
    return min(height * width, MAX_SCALED_PIXELS)


def _fit(image: Image.Image, picture_px: int) -> NDArray[np.uint8]:
    longest = max(image.size)
    if longest > picture_px:
        size = [max(1, round(side * picture_px / longest)) for side in image.size]
        image = image.resize((size[0], size[1]), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(image)


def _bound_memory(num_bytes: int | None) -> None:
    """Allow so much more memory than the process has now; None: without bound. Linux alone keeps to it."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    bound = most
    if num_bytes is not None:
        with contextlib.suppress(OSError), open("/proc/self/statm", encoding="ascii") as file:
            bound = int(file.read().split()[5]) * _PAGE_BYTES + num_bytes
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (bound, most))


if __name__ == "__main__":
    main()
