"""What a decoding process is asked and answers: a line of JSON, with bytes beside it in a file both have.

No pickles: what comes out of a process that decodes strangers' files is only looked at.
"""

import dataclasses
import json
import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgad.domains.wide_values import WideRange
from dgad.settings import from_dict

_MAX_SIDE = 2**20


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One photograph to decode."""

    name: str
    num_bytes: int
    """Of the encoded photograph, at the beginning of the file."""
    max_bytes: int
    max_pixels: int
    scale: str
    """At which methods take it, as `Geometry.scale`; empty: it is not wanted."""
    picture_px: int
    """Longest side of a picture to draw on, of its own size at most; 0: none."""
    bit_depth: int | None
    """Declared for values of more than 8 bits."""
    wants_thumbnail: bool
    """Whether also a grey thumbnail for its fingerprint."""
    max_memory: int
    """Bytes more than the process has."""
    max_cpu_s: float


class RefusedError(Exception):
    """A photograph that is not decoded, with the sentence that says why."""

    def __init__(self, sentence: str, cpu_s: float) -> None:
        super().__init__(sentence)
        self.cpu_s = cpu_s


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Pixels:
    """One photograph, decoded."""

    width_px: int
    height_px: int
    image: NDArray[np.uint8] | None
    """RGB at that scale, shape (3, h, w)."""
    picture: NDArray[np.uint8] | None
    """RGB, shape (H, W, 3)."""
    thumbnail: NDArray[np.float32] | None
    """Shape (64, 64)."""
    wide: WideRange | None
    """How much of more than 8 bits a channel it uses; None where it has no more."""


_ARRAYS = {"image": np.uint8, "picture": np.uint8, "thumbnail": np.float32}


def write_order(order: Order) -> bytes:
    """The line for it."""
    return json.dumps(dataclasses.asdict(order)).encode() + b"\n"


def read_order(line: bytes) -> Order:
    """The order of that line."""
    return Order(**json.loads(line))


def write_pixels(pixels: Pixels, fd: int, cpu_s: float) -> bytes:
    """The line for it, its arrays written to the file."""
    place, shapes = 0, {}
    for name in _ARRAYS:
        array = getattr(pixels, name)
        if array is not None:
            shapes[name] = array.shape
            place += _write_all(fd, np.ascontiguousarray(array).data.cast("B"), place)
    told = {
        "width_px": pixels.width_px,
        "height_px": pixels.height_px,
        "wide": pixels.wide and dataclasses.asdict(pixels.wide),
        "shapes": shapes,
        "cpu_s": cpu_s,
    }
    return json.dumps(told).encode() + b"\n"


def write_refusal(sentence: str, cpu_s: float) -> bytes:
    """The line for a photograph that is refused."""
    return json.dumps({"refusal": sentence, "cpu_s": cpu_s}).encode() + b"\n"


def read_pixels(told: dict[str, Any], fd: int) -> Pixels:
    """The photograph that an answer's line tells of; `ValueError` for anything else."""
    place = 0
    arrays: dict[str, Any] = {}
    for name, kind in _ARRAYS.items():
        shape = told["shapes"].get(name)
        if shape is None:
            arrays[name] = None
            continue
        if len(shape) > 3 or not all(isinstance(side, int) and 0 < side < _MAX_SIDE for side in shape):
            raise ValueError(f"{name} has the shape {shape}")
        num_bytes = math.prod(shape) * np.dtype(kind).itemsize
        data = bytearray(num_bytes)  # of what can be written to, torch makes a tensor
        if os.preadv(fd, [data], place) != num_bytes:
            raise ValueError(f"{name} is not all there")
        arrays[name] = np.frombuffer(data, dtype=kind).reshape(shape)
        place += num_bytes
    wide = told["wide"] and from_dict(WideRange, told["wide"])
    return Pixels(width_px=int(told["width_px"]), height_px=int(told["height_px"]), wide=wide, **arrays)


def write_photograph(data: bytes, fd: int) -> None:
    """The encoded photograph at the beginning of the file."""
    _write_all(fd, memoryview(data), 0)


def _write_all(fd: int, view: memoryview, place: int) -> int:
    done = 0
    while done < len(view):
        done += os.pwrite(fd, view[done:], place + done)
    return done
