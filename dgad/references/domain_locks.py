"""One writer of a domain at a time, and the folders that each domain has."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from dgad.errors import StoreError
from dgad.files import sync_folder
from dgad.storage import Storage

FOLDERS = ("changes", "images", "fingerprints", "enrolled")
"""Of each domain."""

_LOCK_TIMEOUT_S = 120.0


class DomainLocks:
    """The locks of one store's domains.

    On a local disk they keep off every other process; on an object store, which has one writing process,
    every other thread.

    That two never commit the same change needs no lock; that no photograph is removed while another writer is
    about to commit it does.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def hold(self, domain: str) -> Iterator[None]:
        """Keep others from writing to the domain meanwhile; `StoreError` where they do not let go of it."""
        if not self._storage.is_local:
            with self._lock:
                yield
            return
        name = f"domains/{domain}"
        folder = Path(self._storage.path(name))
        with self._storage.report_disk_errors("written", name):
            if not (folder / FOLDERS[-1]).is_dir():
                for each in FOLDERS:
                    (folder / each).mkdir(parents=True, exist_ok=True)
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
