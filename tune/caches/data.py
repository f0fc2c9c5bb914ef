"""Packed data at a URI, copied once to each node's disk, so that its workers read it there.

A copy is named by the location and by name, size and time of its files, so that data which is packed anew is
copied anew. Copies are whole or not there, and the least recently used give way when their bound is reached.
"""

import contextlib
import hashlib
import os
import shutil
import time
from pathlib import Path

import pyarrow as pa
from filelock import FileLock
from pyarrow import fs

from dgad.errors import DataError
from dgad.files import is_temporary, replace_folder_atomic
from dgad.storage import DATA, Storage
from tune.caches.features import CachePlan, find_features_folder

FOLDER_NAME = "data"
_CHUNK_BYTES = 16 * 1024**2
_IN_USE_S = 24 * 3600.0
"""Whoever was given a copy this long ago may still open more of its files."""


def make_local_copy(data: str, plan: CachePlan | None) -> str:
    """Where to read `data` on this node: a folder as it is, a URI as a copy beside the feature cache.

    Without a cache on disk (`plan` is None) a URI is read from where it is. `DataError` where it cannot be
    read, or does not fit the disk.
    """
    storage = Storage(data, DATA)
    if storage.is_local or plan is None:
        return data
    features = plan.folder or find_features_folder()
    if features is None:
        return data
    copies = features.parent / FOLDER_NAME
    try:
        files = _packed_files(storage)
        if not files:  # not packed: `open_dataset` says what is wrong with it
            return data
        copy = copies / _name(data, files)
        copies.mkdir(parents=True, exist_ok=True)
        with FileLock(copies / f".{copy.name}.lock"):
            if not copy.is_dir():
                _make_room(copies, sum(f.size for f in files), plan.max_bytes)
                with replace_folder_atomic(copy) as folder:
                    for file in files:
                        _copy(storage, file, folder / file.base_name)
            os.utime(copy)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{data} cannot be copied to {copies} ({error}); free space, name another --cache, or read it"
            " from where it is with --cache-gib 0."
        ) from None
    return str(copy)


def _packed_files(storage: Storage) -> list[fs.FileInfo]:
    entries = storage.filesystem.get_file_info(fs.FileSelector(storage.root, allow_not_found=True))
    return sorted(
        (e for e in entries if e.is_file and e.base_name.endswith(".parquet") and e.base_name[0] != "."),
        key=lambda e: e.base_name,
    )


def _name(data: str, files: list[fs.FileInfo]) -> str:
    parts = [data, *(f"{f.base_name} {f.size} {f.mtime_ns}" for f in files)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _copy(storage: Storage, file: fs.FileInfo, target: Path) -> None:
    with storage.filesystem.open_input_stream(file.path) as source, open(target, "xb") as sink:
        shutil.copyfileobj(source, sink, _CHUNK_BYTES)
    if target.stat().st_size != file.size:
        raise OSError(f"{file.path} broke off after {target.stat().st_size} of {file.size} bytes")


def _make_room(copies: Path, wanted_bytes: int, max_bytes: int) -> None:
    """Remove the least recently used copies until the new one keeps the bound; it is kept whatever its size.

    Copies that may be in use stay, so the bound can be passed.
    """
    kept = [p for p in copies.iterdir() if p.is_dir() and not is_temporary(p.name)]
    sizes = {p: sum(f.stat().st_size for f in p.iterdir()) for p in kept}
    used_bytes = sum(sizes.values())
    before_s = time.time() - _IN_USE_S
    for oldest in sorted(kept, key=lambda p: p.stat().st_mtime):
        if used_bytes + wanted_bytes <= max_bytes or oldest.stat().st_mtime > before_s:
            return
        used_bytes -= sizes[oldest]
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(oldest)
