"""Frozen feature maps, kept per image in memory under a byte bound, before those on the disk."""

from collections import OrderedDict

import torch
from torch import Tensor

from dgad.features.disk_cache import DiskFeatureCache, FeatureKey
from dgad.settings import require

CPU = torch.device("cpu")
_MAX_MAPPED = 16384
"""Maps that are read where they lie on the disk: the kernel allows a process some 65,000 such places."""


class FeatureCache:
    """Least-recently-used feature maps of single images; never larger than `max_bytes`.

    What is not here may be in `disk`. Maps from there are kept as the mapped file, not copied, where they are
    wanted on the CPU. They count in full: they are in memory while they are used, though processes on one
    machine share that memory and the kernel may take it back.
    """

    def __init__(self, max_bytes: int = 2 * 1024**3, *, disk: DiskFeatureCache | None = None) -> None:
        require(max_bytes >= 0, "max_bytes", "at least 0", max_bytes)
        self.max_bytes = max_bytes
        self.disk = disk
        self.used_bytes = 0
        self._maps: OrderedDict[FeatureKey, Tensor] = OrderedDict()
        self._mapped: set[FeatureKey] = set()

    def get(self, key: FeatureKey, device: torch.device = CPU, *, lasting: bool = False) -> Tensor | None:
        """The map (C, h, w) kept under `key`, or None; not to be written to.

        A `lasting` one is looked for on the disk too, and brought to the device.
        """
        found = self._maps.get(key)
        if found is not None:
            self._maps.move_to_end(key)
            return found
        mapped = self.disk.get(key) if lasting and self.disk is not None else None
        if mapped is None:
            return None
        found = mapped.to(device)
        if found is mapped and len(self._mapped) >= _MAX_MAPPED:
            found = mapped.clone()
        if self._keep(key, found) and found is mapped:
            self._mapped.add(key)
        return found

    def put(self, key: FeatureKey, feature_Chw: Tensor, *, lasting: bool = False) -> None:
        """Keep a map, dropping the least recently used ones until it fits; a larger one is not kept.

        A `lasting` one, which later fits and other processes will ask for, goes to the disk too.
        """
        if lasting and self.disk is not None:
            self.disk.put(key, feature_Chw)
        if key not in self._maps and self._fits(feature_Chw):
            # A slice of a batch would keep the whole batch alive.
            self._keep(key, feature_Chw.clone())

    def clear(self) -> None:
        """Keep none any more; what is on the disk stays there."""
        self._maps.clear()
        self._mapped.clear()
        self.used_bytes = 0

    def _keep(self, key: FeatureKey, feature_Chw: Tensor) -> bool:
        if not self._fits(feature_Chw):
            return False
        self._maps[key] = feature_Chw
        self.used_bytes += _num_bytes(feature_Chw)
        while self.used_bytes > self.max_bytes:
            name, dropped = self._maps.popitem(last=False)
            self._mapped.discard(name)
            self.used_bytes -= _num_bytes(dropped)
        return True

    def _fits(self, feature_Chw: Tensor) -> bool:
        return _num_bytes(feature_Chw) <= self.max_bytes

    def __len__(self) -> int:
        return len(self._maps)


def _num_bytes(feature: Tensor) -> int:
    return feature.numel() * feature.element_size()
