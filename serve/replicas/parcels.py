"""Photographs on their way to the writer, cut into pieces.

Serve's gRPC copies a message some five times at either end and holds the event loop meanwhile; of an
enrolment of 256 MiB only one piece is in that state at a time.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence

PIECE_BYTES = 3 * 2**20
"""Of one message: less than the 4 MiB that Serve takes where nothing else is set."""
_FORGOTTEN_AFTER_S = 120.0
"""Without another piece, whoever was sending has died."""

Piece = Sequence[tuple[int, bytes]]
"""Bytes that follow in the blobs of these numbers."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """Stands for blobs that were sent before, in so many pieces."""

    key: str
    num_blobs: int
    num_pieces: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LostParcel:
    """The answer to a parcel of which not every piece is there: its receiver has died meanwhile."""


def cut(blobs: Sequence[bytes], piece_bytes: int = PIECE_BYTES) -> Iterator[Piece]:
    """Cut blobs into pieces of at most so many bytes; several small ones share a piece."""
    piece: list[tuple[int, bytes]] = []
    room = piece_bytes
    for number, blob in enumerate(blobs):
        start = 0
        while start < len(blob):
            # The whole blob is handed on uncopied.
            part = blob[start : start + room]
            piece.append((number, part))
            start += len(part)
            room -= len(part)
            if room == 0:
                yield piece
                piece, room = [], piece_bytes
    if piece:
        yield piece


class ParcelShelf:
    """Keeps pieces until their parcel is asked for."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._pieces: dict[str, dict[int, Piece]] = {}
        self._touched: dict[str, float] = {}

    def put(self, key: str, number: int, piece: Piece) -> None:
        """Keep one piece; the same one again changes nothing."""
        self._forget_old()
        self._pieces.setdefault(key, {})[number] = piece
        self._touched[key] = self._now()

    def take(self, parcel: Parcel) -> list[bytes] | None:
        """Hand out the blobs and keep them no longer; None where a piece is missing."""
        self._forget_old()
        self._touched.pop(parcel.key, None)
        pieces = self._pieces.pop(parcel.key, {})
        if len(pieces) != parcel.num_pieces:
            return None
        parts: list[list[bytes]] = [[] for _ in range(parcel.num_blobs)]
        for number in range(parcel.num_pieces):
            for blob, part in pieces.pop(number):
                parts[blob].append(part)
        blobs = []
        for those in parts:
            blobs.append(b"".join(those))
            those.clear()  # before the next blob is joined, so that one at most is there twice
        return blobs

    def _forget_old(self) -> None:
        before = self._now() - _FORGOTTEN_AFTER_S
        for key in [k for k, at in self._touched.items() if at < before]:
            del self._touched[key], self._pieces[key]
