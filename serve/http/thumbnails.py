"""Small JPEGs of references, kept in memory for a while."""

import collections
import io
import threading

from PIL import Image

from dgad.domains.decoding import DecodeLimits, decode_image

_QUALITY = 82
_MAX_KEPT_BYTES = 32 * 2**20


def thumbnail(data: bytes, side_px: int, *, limits: DecodeLimits, bit_depth: int | None) -> bytes:
    """JPEG of the image, upright, at most `side_px` wide and high; `ImageError` where it is none."""
    image = decode_image(data, "the reference", limits, bit_depth=bit_depth)
    image.thumbnail((side_px, side_px), Image.Resampling.BILINEAR, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_QUALITY)
    return buffer.getvalue()


class Thumbnails:
    """Kept by domain and only for its newest state: what was purged must not come back from memory."""

    def __init__(self, max_bytes: int = _MAX_KEPT_BYTES) -> None:
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[tuple[str, str, int], bytes] = collections.OrderedDict()
        self._sequences: dict[str, int] = {}
        self._num_bytes = 0
        self._max_bytes = max_bytes

    def get(self, domain: str, sequence: int, reference_id: str, side_px: int) -> bytes | None:
        """What was kept, if the domain has not changed since."""
        with self._lock:
            if self._sequences.get(domain) != sequence:
                self._forget(domain)
                return None
            key = (domain, reference_id, side_px)
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, domain: str, sequence: int, reference_id: str, side_px: int, data: bytes) -> None:
        """Keep it, in place of what was not asked for the longest."""
        with self._lock:
            if sequence < self._sequences.get(domain, 0):
                return
            if sequence != self._sequences.get(domain):
                self._forget(domain)
                self._sequences[domain] = sequence
            key = (domain, reference_id, side_px)
            self._num_bytes += len(data) - len(self._kept.get(key, b""))
            self._kept[key] = data
            while self._num_bytes > self._max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._num_bytes -= len(oldest)

    def list_domains(self) -> dict[str, int]:
        """The domains that any is kept of, with the change of each that they are as of."""
        with self._lock:
            return dict(self._sequences)

    def forget(self, domain: str) -> None:
        """Keep none of the domain."""
        with self._lock:
            self._forget(domain)

    def _forget(self, domain: str) -> None:
        for key in [k for k in self._kept if k[0] == domain]:
            self._num_bytes -= len(self._kept.pop(key))
        self._sequences.pop(domain, None)
