"""Going several times through what is computed block by block."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from dgad.domains.image_set import ImageSet
from dgad.features.blocks import BLOCK_PX

_T = TypeVar("_T")

_MAX_HELD_PX = 8 * BLOCK_PX
"""Pixels of references whose maps are held while they are gone through more than once."""


class Passes(Iterable[_T]):
    """Blocks, with what was made of them, to go through several times.

    Of few pixels they are held after the first time, of more they are computed again.
    """

    def __init__(self, once: Callable[[], Iterable[_T]], images: ImageSet) -> None:
        self._once = once
        self._is_held = sum(height * width for height, width in images.sizes) <= _MAX_HELD_PX
        self._held: list[_T] | None = None

    def __iter__(self) -> Iterator[_T]:
        if self._held is not None or not self._is_held:
            return iter(self._once() if self._held is None else self._held)
        self._held = list(self._once())
        return iter(self._held)
