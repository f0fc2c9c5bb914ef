"""Frozen feature maps, kept per image in memory under a byte bound."""

from collections import OrderedDict

from torch import Tensor

from dgad.settings import require

FeatureKey = tuple[str, int, str]
"""(backbone fingerprint, stride in px, image content id)."""


class FeatureCache:
    """Least-recently-used feature maps of single images; never larger than `max_bytes`."""

    def __init__(self, max_bytes: int = 2 * 1024**3) -> None:
        require(max_bytes >= 0, "max_bytes", "at least 0", max_bytes)
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._maps: OrderedDict[FeatureKey, Tensor] = OrderedDict()

    def get(self, key: FeatureKey) -> Tensor | None:
        """The map (C, h, w) kept under `key`, or None."""
        found = self._maps.get(key)
        if found is not None:
            self._maps.move_to_end(key)
        return found

    def put(self, key: FeatureKey, feature_Chw: Tensor) -> None:
        """Keep a map, dropping the least recently used ones until it fits; a larger one is not kept."""
        size = feature_Chw.numel() * feature_Chw.element_size()
        if key in self._maps or size > self.max_bytes:
            return
        # A slice of a batch would keep the whole batch alive.
        self._maps[key] = feature_Chw.clone()
        self.used_bytes += size
        while self.used_bytes > self.max_bytes:
            _, dropped = self._maps.popitem(last=False)
            self.used_bytes -= dropped.numel() * dropped.element_size()

    def __len__(self) -> int:
        return len(self._maps)
