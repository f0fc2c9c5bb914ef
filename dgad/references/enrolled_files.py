"""The files in `domains/NAME/enrolled`: which photographs each was made with, and their removal.

A safetensors file begins with the length of its header (8 bytes, little-endian) and the header (JSON).
"""

import json
import struct
from collections.abc import Collection

from dgad.storage import Storage

IDS = "reference_ids"
"""Name of the metadata entry that holds, as JSON, the ids it was made with."""
_MAX_HEADER_BYTES = 100 * 2**20  # what safetensors itself reads at most


def file_name(domain: str, key: str) -> str:
    """Where it lies in the store."""
    return f"domains/{domain}/enrolled/{key}.safetensors"


def _ids_of(storage: Storage, name: str) -> frozenset[str] | None:
    """The photographs a file was made with, by its header alone; None where that cannot be read."""
    start = storage.read(name, 8)
    length = None if start is None else _header_length(start)
    if length is None:
        return None
    try:
        return frozenset(json.loads(metadata_of(storage.read(name, 8 + length) or b"")[IDS]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def metadata_of(data: bytes) -> dict[str, str]:
    """The metadata of a file that begins so; `ValueError`, `KeyError` or `TypeError` where it is none."""
    length = _header_length(data)
    if length is None:
        raise ValueError("it is no safetensors file")
    return dict(json.loads(data[8 : 8 + length])["__metadata__"])


def _header_length(data: bytes) -> int | None:
    if len(data) < 8:
        return None
    (length,) = struct.unpack("<Q", data[:8])
    return int(length) if length <= _MAX_HEADER_BYTES else None


def drop_made_with(storage: Storage, domain: str, gone: Collection[str]) -> None:
    """Remove the files made with any of the photographs, and those that do not say what they were made with.

    Any of them can be made again.
    """
    for name in storage.sizes(f"domains/{domain}/enrolled"):
        ids = _ids_of(storage, name)
        if ids is None or not ids.isdisjoint(gone):
            storage.delete(name)


def drop_oldest(storage: Storage, domain: str, kept: int, newest: str) -> None:
    """Keep `newest` and those before it only: each version makes one for every bundle that is served."""
    written = storage.modified(f"domains/{domain}/enrolled")
    earlier = sorted((n for n in written if n != newest), key=lambda name: -written[name])
    storage.delete(*earlier[kept - 1 :])
