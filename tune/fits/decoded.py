"""Domains as they were decoded at one scale or several, kept side by side under a bound of bytes."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from dgad.domains import Dataset
from dgad.domains.geometry import Geometry
from dgad.domains.image_set import ImageSet
from dgad.evaluation.scoring import TargetDomain, load_target
from dgad.training.halves import split_halves
from dgad.training.sources import SourceDomain, load_source

_FEWEST_BYTES = 2**29
"""Kept whatever the plan of the machine says: a worker is planned with room for its data."""
_HELD_BYTES = 2**30
"""What one set of images holds at most: beyond, it decodes again what it is asked for."""
_Key = tuple[str, str, str, Geometry]
_T = TypeVar("_T", SourceDomain, TargetDomain)


class DecodedDomains:
    """Sources and targets of a data set, the least recently used let go when there are more than `max_bytes`.

    The last one stays however large it is.
    """

    def __init__(self, dataset: Dataset, *, max_bytes: int) -> None:
        self._dataset = dataset
        self._max_bytes = max(max_bytes, _FEWEST_BYTES)
        self._kept: OrderedDict[_Key, tuple[SourceDomain | TargetDomain, int]] = OrderedDict()

    @property
    def used_bytes(self) -> int:
        """What is kept at the moment."""
        return sum(size for _, size in self._kept.values())

    def target(self, name: str, split: str, geometry: Geometry) -> TargetDomain:
        """A domain to be scored; with `half` only the test images that such a fit never saw."""

        def load() -> tuple[TargetDomain, int]:
            domain = self._dataset.domain(name)
            found = load_target(split_halves(domain)[1] if split == "half" else domain, geometry)
            masks = sum(mask.nbytes for mask in found.masks if mask is not None)
            return found, _num_bytes(found.normals) + _num_bytes(found.queries) + masks

        return self._get(("target", name, split, geometry), load)

    def source(self, name: str, split: str, geometry: Geometry) -> SourceDomain:
        """A domain to be trained on; with `half` only half of its test images."""

        def load() -> tuple[SourceDomain, int]:
            domain = self._dataset.domain(name)
            found = load_source(split_halves(domain)[0] if split == "half" else domain, geometry)
            return found, _num_bytes(found.images)

        return self._get(("source", name, split, geometry), load)

    def _get(self, key: _Key, load: Callable[[], tuple[_T, int]]) -> _T:
        if key not in self._kept:
            self._kept[key] = load()
        self._kept.move_to_end(key)
        used = self.used_bytes
        while used > self._max_bytes and len(self._kept) > 1:
            _, (_, size) = self._kept.popitem(last=False)
            used -= size
        found: _T = self._kept[key][0]  # type: ignore[assignment]  # the key's first word tells which
        return found


def _num_bytes(images: ImageSet) -> int:
    return min(_HELD_BYTES, sum(3 * height * width for height, width in images.sizes))
