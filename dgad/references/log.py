"""The log of every domain of a store: its changes as files, the newest one at hand.

Every change is written with all its references, so that the last one says what scoring needs. Of the older
ones all but one in `_BLOCK` then become what differs from the change before: a log grows with what was done.
"""

import logging
import re
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dgad.errors import GoneStoreError, StoreError
from dgad.references.domain import Change
from dgad.references.log_file import Entry, damaged_error, decode, encode, encode_difference, redact
from dgad.storage import Storage

logger = logging.getLogger(__name__)

_FILE = re.compile(r"[0-9]{8}\.json")
_BLOCK = 64
"""Of so many changes in a row the first stays whole, so that the others can be read."""
_THIN_EVERY = 16
_SMALL_BYTES = 4096
"""A file that is not worth a look."""
_WORTH_BYTES = 2**17
"""Of the larger files of a block, from which on it is worth a look."""


class Log:
    """The changes of every domain of a store. What was read once is kept: none is altered but by purges."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._newest: dict[str, Change] = {}
        self._lock = threading.Lock()

    def newest(self, domain: str) -> Change | None:
        """The last change, also of a deleted domain; None where there never was one.

        Costs one failing read after the first time, which lists the folder.
        """
        change = self._newest.get(domain)
        if change is None or "purged" in change.details:  # which goes when the log is redacted
            sequences = self._list_files(domain)
            if not sequences:
                return None
            change = self.read(domain, max(sequences))
        while (entry := self._find(domain, change.sequence + 1)) is not None:
            change = entry.make_change(change.references)
        self._remember(domain, change)
        return change

    def forget(self) -> None:
        """Read every domain's newest change anew next time."""
        with self._lock:
            self._newest.clear()

    def read(self, domain: str, sequence: int) -> Change:
        """One change; `StoreError` where it is missing or damaged."""
        (entry,) = self._read_entries(domain, [sequence])
        if entry.since is None:
            return entry.change
        *_, change = _replay(self._read_entries(domain, range(entry.since, sequence + 1)), ())
        return change

    def all(self, domain: str, after: int = 0) -> tuple[Change, ...]:
        """Every change after the one given, the oldest first."""
        sequences = range(after + 1, max(self._list_files(domain), default=0) + 1)
        entries = self._read_entries(domain, sequences)
        if not entries:
            return ()
        before = self.read(domain, after) if entries[0].since is not None else None
        return _replay(entries, before.references if before else ())

    def append(self, domain: str, change: Change) -> bool:
        """Acknowledge the change; False where another writer has taken its sequence.

        `GoneStoreError` where the change before it has gone, and with it the log.
        """
        if change.sequence > 1 and not self._storage.exists(_name(domain, change.sequence - 1)):
            raise gone_store_error(self._storage.location)
        if not self._storage.create(_name(domain, change.sequence), encode(change)):
            return False
        self._remember(domain, change)
        if change.sequence % _THIN_EVERY == 0:
            self._thin(domain)
        return True

    def redact(self, domain: str, ids: Collection[str], details: Mapping[int, Mapping[str, Any]]) -> None:
        """Take the names and digests of photographs out of every file; broken off, it can be done again.

        `details`: what is added to those of single changes, by sequence.
        """

        def rewrite(sequence: int) -> None:
            name = _name(domain, sequence)
            data = self._storage.read(name)
            added = details.get(sequence, {})
            if data is not None and (new := redact(data, self._storage.path(name), ids, added)) is not None:
                self._storage.write(name, new)

        self._storage.each(rewrite, sorted(self._list_files(domain)))
        with self._lock:
            self._newest.pop(domain, None)

    def _thin(self, domain: str) -> None:
        """Let older changes say only what differs from the one before; what fails is done the next time."""
        sizes = self._list_files(domain)
        try:
            for first in range(1, max(sizes), _BLOCK):
                block = range(first, min(first + _BLOCK, max(sizes)))
                large = {s for s in block[1:] if sizes.get(s, 0) > _SMALL_BYTES}
                if sum(sizes[s] for s in large) > _WORTH_BYTES:
                    self._thin_block(domain, block, {s: sizes[s] for s in large})
        except StoreError as error:
            logger.warning("The log of %s stays as large as it is: %s", domain, error)

    def _thin_block(self, domain: str, block: Sequence[int], sizes: Mapping[int, int]) -> None:
        entries = self._read_entries(domain, block)
        changes = _replay(entries, ())

        def rewrite(index: int) -> None:
            change = changes[index]
            data = encode_difference(change, changes[index - 1].references, block[0])
            if data is not None and 2 * len(data) < sizes[change.sequence]:
                self._storage.write(_name(domain, change.sequence), data)

        whole = [i for i, e in enumerate(entries) if e.since is None and e.change.sequence in sizes]
        self._storage.each(rewrite, whole)

    def _list_files(self, domain: str) -> dict[int, int]:
        """The sizes of the changes there are, by sequence."""
        listed = self._storage.sizes(f"domains/{domain}/changes")
        named = {name.rsplit("/", 1)[-1]: size for name, size in listed.items()}
        return {int(name[:-5]): size for name, size in named.items() if _FILE.fullmatch(name)}

    def _read_entries(self, domain: str, sequences: Sequence[int]) -> list[Entry]:
        def read(sequence: int) -> Entry:
            entry = self._find(domain, sequence)
            if entry is None:
                raise damaged_error(self._storage.path(_name(domain, sequence)), "it is missing")
            return entry

        return self._storage.each(read, list(sequences))

    def _find(self, domain: str, sequence: int) -> Entry | None:
        name = _name(domain, sequence)
        data = self._storage.read(name)
        return None if data is None else decode(data, self._storage.path(name), sequence)

    def _remember(self, domain: str, change: Change) -> None:
        with self._lock:  # another thread may have read a later one
            known = self._newest.get(domain)
            if known is None or known.sequence <= change.sequence:
                self._newest[domain] = change


def gone_store_error(location: str) -> GoneStoreError:
    """What is raised where nothing of a store is left that was open."""
    return GoneStoreError(
        f"The store {location} has been removed, replaced or unmounted while it is in use: put it back, or"
        " end what uses it and start that again on the store there is now. Nothing was written."
    )


def _replay(entries: Sequence[Entry], references: Sequence[Any]) -> tuple[Change, ...]:
    changes = []
    for entry in entries:
        changes.append(entry.make_change(references))
        references = changes[-1].references
    return tuple(changes)


def _name(domain: str, sequence: int) -> str:
    return f"domains/{domain}/changes/{sequence:08d}.json"
