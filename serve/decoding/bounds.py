"""How much work and memory the photographs of a request may take: the more was sent, the more."""

import dataclasses
from collections.abc import Collection

from dgad.domains.headers import estimate_decoding_bytes

_MIB = 2**20
_CPU_S_PER_MIB = 0.25
"""A photograph takes up to 0.04 s a MiB on a core of 2020; the rest is for slower machines."""
_CPU_S_EACH = 0.002
MOST_BYTES = 448 * _MIB
"""Memory for one photograph, beside 8 bytes for each of its own."""
_SLACK_BYTES = 16 * _MIB


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """What decoding one photograph may take, by its header."""

    num_bytes: int
    """Expected at most."""
    max_bytes: int
    """At which it is refused: a fixed part and what was sent, so that it is the sender who pays."""


class CpuAllowance:
    """CPU time that is left to the photographs of one request of a client; they share it."""

    def __init__(self, files: Collection[bytes], base_s: float, client: str = "") -> None:
        self.client = client
        num_mib = sum(len(data) for data in files) / _MIB
        self.total_s = base_s + _CPU_S_PER_MIB * num_mib + _CPU_S_EACH * len(files)
        self.left_s = self.total_s

    def spend(self, seconds: float) -> None:
        """Take off what one photograph took."""
        self.left_s = max(0.0, self.left_s - seconds)


def find_need(data: bytes) -> Need:
    """What decoding it may take."""
    expected = estimate_decoding_bytes(data)
    most = MOST_BYTES + 8 * len(data)
    return Need(num_bytes=min(expected, most), max_bytes=min(expected + expected // 4 + _SLACK_BYTES, most))
