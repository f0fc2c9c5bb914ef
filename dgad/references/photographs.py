"""The photographs of a domain as they came, each with a small thumbnail that finds near duplicates."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from dgad.errors import StoreError
from dgad.references import duplicates
from dgad.references.domain import Upload
from dgad.references.log_file import is_reference_id
from dgad.storage import Storage

_NUM_WRITERS = 8


def id_of(data: bytes) -> str:
    """What names a photograph: SHA-256 of its bytes."""
    return hashlib.sha256(data).hexdigest()


class Photographs:
    """Reads and writes them; what is current, or may be shown, is for the log to say."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def keep(self, domain: str, uploads: Sequence[Upload]) -> None:
        """Have the bytes durable, whatever lay there; a file that differs from its name is written anew."""

        def write(upload: Upload) -> None:
            reference_id = id_of(upload.data)
            if self._storage.read(_image(domain, reference_id)) != upload.data:
                self._storage.write(_image(domain, reference_id), upload.data)
            if len(upload.fingerprint) == duplicates.NUM_BYTES:
                self._storage.write(_fingerprint(domain, reference_id), upload.fingerprint)

        # Flushing one file waits for the disk, flushing many waits hardly longer.
        unlike = list({u.data: u for u in uploads}.values())
        if not unlike:
            return
        with ThreadPoolExecutor(min(_NUM_WRITERS, len(unlike))) as writers:
            list(writers.map(write, unlike))

    def list_incomplete(self, domain: str, uploads: Sequence[Upload]) -> list[Upload]:
        """Those whose bytes do not lie there as they should."""
        return [u for u in uploads if self._storage.read(_image(domain, id_of(u.data))) != u.data]

    def keep_missing(self, domain: str, uploads: Sequence[Upload]) -> None:
        """Write those that are not there any more."""
        self.keep(domain, [u for u in uploads if not self._storage.exists(_image(domain, id_of(u.data)))])

    def read(self, domain: str, reference_id: str) -> bytes | None:
        """The bytes as they came; `StoreError` where the disk has altered them."""
        name = _image(domain, reference_id)
        data = self._storage.read(name)
        if data is not None and id_of(data) != reference_id:
            raise StoreError(
                f"{self._storage.path(name)} is damaged (its SHA-256 differs from its name): enrol the same"
                " photograph again, or purge it."
            )
        return data

    def fingerprint(self, domain: str, reference_id: str) -> bytes:
        """Its thumbnail, made again where it is missing; empty where it cannot be had."""
        kept = self._storage.read(_fingerprint(domain, reference_id))
        if kept is not None and len(kept) == duplicates.NUM_BYTES:
            return kept
        data = self._storage.read(_image(domain, reference_id))
        return b"" if data is None else duplicates.fingerprint_of_file(data)

    def ids(self, domain: str) -> frozenset[str]:
        """Of every photograph that lies there, enrolled or not."""
        return _ids(self._storage.sizes(f"domains/{domain}/images"))

    def ids_before(self, domain: str, time_s: float) -> frozenset[str]:
        """Of those that were written before, in seconds since 1970."""
        written = self._storage.modified(f"domains/{domain}/images")
        return _ids(n for n, at in written.items() if at < time_s)

    def drop(self, domain: str, reference_ids: Collection[str]) -> None:
        """Remove them; the photograph itself last, since it is what shows that a removal is not finished."""
        self._storage.delete(*(_fingerprint(domain, i) for i in sorted(reference_ids)))
        self._storage.delete(*(_image(domain, i) for i in sorted(reference_ids)))


def _ids(names: Iterable[str]) -> frozenset[str]:
    return frozenset(i for n in names if is_reference_id(i := n.rsplit("/", 1)[-1]))


def _image(domain: str, reference_id: str) -> str:
    return f"domains/{domain}/images/{reference_id}"


def _fingerprint(domain: str, reference_id: str) -> str:
    return f"domains/{domain}/fingerprints/{reference_id}"
