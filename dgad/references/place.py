"""Where a store lies: `Storage` whose troubles are `StoreError`s, and one writer of a domain at a time."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from dgad.errors import RecordError, StoreError
from dgad.files import remove_stale_temporaries, sync_folder
from dgad.storage import Storage

FOLDERS = ("changes", "images", "fingerprints", "enrolled")
"""Of each domain."""

_LOCK_TIMEOUT_S = 120.0
_STALE_S = 300.0
K = TypeVar("K")
T = TypeVar("T")


class Place:
    """One store's folder or URI; every method raises `StoreError` where it cannot be used."""

    def __init__(self, location: str | Path) -> None:
        with _troubles("used", str(location)):
            self._storage = Storage(location)
        self.location = self._storage.location
        self.is_local = self._storage.is_local
        self._lock = threading.Lock()
        if self.is_local and Path(self.location).exists() and not Path(self.location).is_dir():
            raise StoreError(f"A reference store must be a folder, but {self.location} is a file.")

    def path(self, name: str) -> str:
        """How messages name what is kept there; on a local disk a path."""
        return self._storage.path(name)

    def read(self, name: str, num_bytes: int | None = None) -> bytes | None:
        """What is kept under the name, or its first bytes; None where there is nothing."""
        with _troubles("read", self.path(name)):
            return self._storage.read(name, num_bytes)

    def write(self, name: str, data: bytes) -> None:
        """Keep it under the name, whole or not at all."""
        with _troubles("written", self.path(name)):
            self._storage.write(name, data)

    def create(self, name: str, data: bytes) -> bool:
        """Keep it unless the name is taken: False. On an object store of a single writer only."""
        with _troubles("written", self.path(name)):
            return self._storage.create(name, data)

    def exists(self, name: str) -> bool:
        """Whether something is kept under the name."""
        with _troubles("looked at", self.path(name)):
            return self._storage.exists(name)

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes by whole name of what is kept in a folder; empty where it is missing."""
        with _troubles("listed", self.path(folder)):
            return self._storage.sizes(folder)

    def modified(self, folder: str) -> dict[str, float]:
        """When what is kept in a folder was written, by whole name: seconds since 1970."""
        with _troubles("listed", self.path(folder)):
            return self._storage.modified(folder)

    def folders(self, name: str) -> tuple[str, ...]:
        """Names of the folders right below."""
        with _troubles("listed", self.path(name)):
            return self._storage.child(name).folders()

    def each(self, read: Callable[[K], T], names: Sequence[K]) -> list[T]:
        """`read` of every name; many at once on an object store."""
        return self._storage.each(read, names)

    def delete(self, names: Sequence[str]) -> None:
        """Remove what is kept under the names; nothing where nothing is."""

        def remove(name: str) -> None:
            with _troubles("removed", self.path(name)):
                self._storage.delete(name)

        self.each(remove, names)

    def remove_leftovers(self, folder: str) -> None:
        """Remove the unfinished files that killed writers left in a folder."""
        if self.is_local:
            with _troubles("cleaned", self.path(folder)):
                remove_stale_temporaries(self.path(folder), older_than_s=_STALE_S)

    @contextlib.contextmanager
    def locked(self, domain: str) -> Iterator[None]:
        """Keep others from writing to the domain meanwhile.

        On a local disk every other process; on an object store, which has one writing process, every other
        thread.

        That two never commit the same change needs no lock; that no photograph is removed while another
        writer is about to commit it does.
        """
        if not self.is_local:
            with self._lock:
                yield
            return
        folder = Path(self.path(f"domains/{domain}"))
        with _troubles("written", str(folder)):
            if not (folder / FOLDERS[-1]).is_dir():
                for name in FOLDERS:
                    (folder / name).mkdir(parents=True, exist_ok=True)
                for made in (folder, folder.parent, folder.parent.parent):  # to survive a power cut
                    sync_folder(made)
            lock = FileLock(folder / ".lock", timeout=_LOCK_TIMEOUT_S)
            try:
                lock.acquire()
            except Timeout:
                raise StoreError(
                    f"{folder} has been written to by another process for {_LOCK_TIMEOUT_S:.0f} s: see what"
                    " that process does, and try again."
                ) from None
        try:
            yield
        finally:
            lock.release()


@contextlib.contextmanager
def _troubles(verb: str, path: str) -> Iterator[None]:
    try:
        yield
    except RecordError as error:
        raise StoreError(str(error)) from None
    except OSError as error:  # of a local disk
        reason = error.strerror or str(error)
        raise StoreError(
            f"{path} cannot be {verb} ({reason}): see that this user may write there and that the disk has"
            " room, or name another store."
        ) from None
