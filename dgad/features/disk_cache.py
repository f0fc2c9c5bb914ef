"""Frozen feature maps on a local disk, shared by every process that is given the same folder.

`FOLDER/ab/abcdef....arrow`, one file per map, named by a hash of its whole key. A file appears by a rename
and never changes, so a reader sees a whole map or none, whatever is killed meanwhile. It is not flushed: what
a power cut tears fails its checksum. The time of a file is that of its last use.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock
from torch import Tensor

from dgad.features.feature_file import FORMAT_VERSION, DamagedFileError, can_encode, encode, open_mapped
from dgad.files import is_temporary, remove_stale_temporaries, write_atomic
from dgad.settings import require

logger = logging.getLogger(__name__)

FeatureKey = tuple[str, int, str]
"""(backbone fingerprint, stride in px, image content id)."""

_NUM_WRITERS = 16
"""Processes that may write at once without ever going over the bound."""
_KEPT_SHARE = 0.75
_STALE_S = 600.0
_LOCK_TIMEOUT_S = 60.0
_FOLDER_NAME = re.compile(r"[0-9a-f]{2}")
_FILE_NAME = re.compile(r"[0-9a-f]{64}\.arrow")


class DiskFeatureCache:
    """Least-recently-used feature maps in files of at most `max_bytes` together.

    `made_by` names whatever else decides a map (versions, kind of device): another one finds none of these.

    Every process looks through the folder when it begins to write, and again whenever it has written 1/64 of
    the bound, and then removes files until 3/4 of the bound are left. So up to 16 processes that write at
    once stay under it, and each further one may be 1/64 of it over. Files that somebody has mapped still take
    their place on the disk when they are removed, until the map is let go. Only files of this cache are ever
    counted or removed.

    Nothing here fails a fit: where the disk is full or read-only this is logged once, and no more is written.
    """

    def __init__(self, folder: Path, *, max_bytes: int, made_by: str = "") -> None:
        require(max_bytes >= 1, "max_bytes", "at least 1", max_bytes)
        self.folder = folder
        self.max_bytes = max_bytes
        self.made_by = made_by
        self._turn_bytes = max_bytes * (1 - _KEPT_SHARE) / _NUM_WRITERS
        self._written_bytes: int | None = None  # since the folder was last looked through; None: never
        self._is_writing = True

    def get(self, key: FeatureKey) -> Tensor | None:
        """The map kept under `key`, memory-mapped and read-only (see `open_mapped`), or None.

        A damaged file is removed.
        """
        path, name = self._place(key)
        try:
            found = open_mapped(path, name)
        except DamagedFileError:
            self._remove(path)
            return None
        except OSError:  # most often it is not there
            return None
        now = time.time_ns()  # finer than the clock of the file system
        with contextlib.suppress(OSError):  # read-only, or removed meanwhile
            os.utime(path, ns=(now, now))
        return found

    def put(self, key: FeatureKey, feature: Tensor) -> None:
        """Keep a map; one of more than 1/64 of the bound is not kept."""
        if not self._is_writing or not can_encode(feature):
            return
        path, name = self._place(key)
        try:
            if path.exists():
                return
            content = encode(feature, name)
            if len(content) > self._turn_bytes:
                return
            if self._written_bytes is None or self._written_bytes + len(content) > self._turn_bytes:
                self._make_room()
                self._written_bytes = 0
            write_atomic(path, content, flushed=False)
            self._written_bytes += len(content)
        except OSError as error:
            self._is_writing = False
            logger.warning(
                "Features are no longer kept in %s, and are computed again when they are needed: %s.",
                self.folder,
                error,
            )

    def _place(self, key: FeatureKey) -> tuple[Path, str]:
        """(file, full key) of a map."""
        name = json.dumps([FORMAT_VERSION, self.made_by, *key])
        digest = hashlib.sha256(name.encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest}.arrow", name

    def _make_room(self) -> None:
        """Remove what killed writers left, and the least recently used maps above the share that is kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock", timeout=_LOCK_TIMEOUT_S):
            files = []
            kept_bytes = 0
            for folder in _folders(self.folder):
                remove_stale_temporaries(folder, older_than_s=_STALE_S)
                for entry, size, used_ns in _files(folder):
                    kept_bytes += size
                    if not is_temporary(entry.name):
                        files.append((used_ns, entry, size))
            for _, path, size in sorted(files):
                if kept_bytes <= _KEPT_SHARE * self.max_bytes:
                    break
                self._remove(path)
                kept_bytes -= size

    @staticmethod
    def _remove(path: Path) -> None:
        with contextlib.suppress(OSError):  # read-only: whoever may write will do it
            path.unlink(missing_ok=True)


def _folders(root: Path) -> Iterator[Path]:
    with os.scandir(root) as entries:
        for entry in entries:
            if _FOLDER_NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)


def _files(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """(path, bytes, time of last use in ns) of every file of ours, temporary ones among them."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not _FILE_NAME.fullmatch(entry.name) and not is_temporary(entry.name):
                continue
            try:
                about = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # renamed or removed meanwhile
                continue
            yield Path(entry.path), about.st_size, about.st_mtime_ns
