"""The files in `domains/NAME/enrolled`: which photographs each was made with, and their removal.

A safetensors file begins with the length of its header (8 bytes, little-endian) and the header (JSON).
"""

import json
import struct
from collections.abc import Collection

from dgad.references.place import Place

IDS = "reference_ids"
"""Name of the metadata entry that holds, as JSON, the ids it was made with."""
_MAX_HEADER_BYTES = 100 * 2**20  # what safetensors itself reads at most


def file_name(domain: str, key: str) -> str:
    """Where it lies in the store."""
    return f"domains/{domain}/enrolled/{key}.safetensors"


def ids_of(place: Place, name: str) -> frozenset[str] | None:
    """The photographs a file was made with, by its header alone; None where that cannot be read."""
    start = place.read(name, 8)
    if start is None or len(start) < 8:
        return None
    (length,) = struct.unpack("<Q", start)
    if length > _MAX_HEADER_BYTES:
        return None
    try:
        header = json.loads((place.read(name, 8 + length) or b"")[8:])
        return frozenset(json.loads(header["__metadata__"][IDS]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def drop_made_with(place: Place, domain: str, gone: Collection[str]) -> None:
    """Remove the files made with any of the photographs, and those that do not say what they were made with:
    any can be made again."""
    for name in place.sizes(f"domains/{domain}/enrolled"):
        ids = ids_of(place, name)
        if ids is None or not ids.isdisjoint(gone):
            place.delete([name])
