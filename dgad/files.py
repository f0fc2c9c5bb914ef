"""Files and folders that are there whole or not at all, whatever is killed meanwhile (local disk)."""

import contextlib
import ctypes
import errno
import hashlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from dgad.errors import DataError

_OF_A_WRITE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
"""Errors that the system may tell of a write, without the name of the file."""
MAX_NAME_BYTES = 255
"""What the usual file systems take as the name of one file."""
_TEMPORARY_MARK = ".tmp-"
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


def write_atomic(path: Path | str, data: bytes, *, flushed: bool = True, private: bool = False) -> None:
    """Write `data` beside `path`, flush it to disk, then rename; the parent folder is made if missing.

    Not `flushed` it is quicker, and survives a kill but not a power cut: then the file may be torn.
    `private`: nobody else may read it, not even for a moment.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(target)
    with name_in_errors(target):
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
            with open(descriptor, "wb") as file:
                file.write(data)
                if flushed:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:  # also on Ctrl-C: leave nothing half-written behind
            temporary.unlink(missing_ok=True)
            raise
    if flushed:
        sync_folder(target.parent)


@contextlib.contextmanager
def name_in_errors(path: Path | str) -> Iterator[None]:
    """Let an `OSError` of a write carry the name of the file, which the system leaves out on a full disk.

    A name that nobody else knows, as that of a temporary file, gives way to it.
    """
    try:
        yield
    except OSError as error:
        if (error.filename is None and error.errno in _OF_A_WRITE) or _is_temporary_path(error.filename):
            error.filename, error.filename2 = os.fspath(path), None
        raise


def is_disk_trouble(error: BaseException | None) -> bool:
    """Whether a place takes no more: full, over its quota, read-only or broken. Nothing else is to blame."""
    return isinstance(error, OSError) and error.errno in _OF_A_WRITE


def _is_temporary_path(filename: object) -> bool:
    return isinstance(filename, str | os.PathLike) and is_temporary(os.path.basename(os.fspath(filename)))


def check_can_write(folder: Path | str) -> None:
    """Raise `DataError` unless `folder` is, or can be made, a folder to write into; makes nothing."""
    wanted = Path(folder).absolute()
    nearest = next(p for p in (wanted, *wanted.parents) if os.path.lexists(p))
    if not nearest.is_dir():
        raise DataError(f"{folder} must be a folder to write into, but {nearest} is a file.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise DataError(f"{folder} cannot be written: {nearest} is not writable; name another folder.")


@contextlib.contextmanager
def replace_folder_atomic(path: Path | str) -> Iterator[Path]:
    """Give an empty folder beside `path` to fill; on leaving it becomes `path`, the old one goes.

    After an exception `path` is as before. Where the system can exchange two folders in one step
    (Linux), `path` exists at every moment; elsewhere it is missing between two renames.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(target)
    try:
        with name_in_errors(target):
            temporary.mkdir()
            yield temporary
            _sync_tree(temporary)
            if target.exists():
                _exchange(temporary, target)
            else:
                os.rename(temporary, target)
            sync_folder(target.parent)
    finally:  # what is under the temporary name is either the failed new folder or the old one
        shutil.rmtree(temporary, ignore_errors=True)


def is_temporary(name: str) -> bool:
    """Whether a file name was given by this module to something not finished."""
    return name.startswith(".") and _TEMPORARY_MARK in name


def temporary_beside(target: Path) -> Path:
    """A hidden name that no other writer takes, and that `remove_stale_temporaries` knows."""
    # Not `tempfile`: it makes files that only their owner may read, whatever the umask says.
    end = f"{_TEMPORARY_MARK}{os.getpid()}-{secrets.token_hex(4)}"
    return target.with_name(f".{shorten_name(target.name, MAX_NAME_BYTES - len(end) - 1)}{end}")


def shorten_name(name: str, max_bytes: int = MAX_NAME_BYTES) -> str:
    """A file's name of at most so many bytes: the name itself, or its beginning and a digest of all of it."""
    encoded = os.fsencode(name)
    if len(encoded) <= max_bytes:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:16]
    return f"{encoded[: max_bytes - len(digest) - 1].decode(errors='ignore')}-{digest}"


def broken_link(path: Path | str) -> str | None:
    """What to say, after its path, of a symbolic link that leads nowhere; None of anything else."""
    if not os.path.islink(path) or os.path.exists(path):
        return None
    return f"is a link to {os.readlink(path)}, which is not there; mend or remove it"


def remove_stale_temporaries(folder: Path | str, *, older_than_s: float = 3600.0) -> int:
    """Remove what killed writers left in `folder`; returns how many. Young ones may still be written."""
    removed = 0
    before = time.time() - older_than_s
    for entry in sorted(Path(folder).glob(f".*{_TEMPORARY_MARK}*")):
        try:
            if entry.stat().st_mtime >= before:
                continue
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()
        except FileNotFoundError:  # another process was faster
            continue
        removed += 1
    return removed


def sync_folder(folder: Path | str) -> None:
    """Flush a folder's entries to disk, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            with open(os.path.join(parent, name), "rb") as file:
                os.fsync(file.fileno())
        sync_folder(parent)


def _exchange(new: Path, target: Path) -> None:
    """Swap two folders; afterwards `new` names the old one."""
    if _exchange_in_one_step(new, target):
        return
    aside = temporary_beside(target)
    os.rename(target, aside)
    try:
        os.rename(new, target)
    except BaseException:
        os.rename(aside, target)
        raise
    os.rename(aside, new)


def _exchange_in_one_step(first: Path, second: Path) -> bool:
    """Whether the kernel and file system could swap the two names (renameat2, Linux 3.15)."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    answer = rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    return bool(answer == 0)
