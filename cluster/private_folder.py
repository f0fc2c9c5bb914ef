"""A short folder that nobody else may enter: for Unix sockets, and for the logs of an embedded Ray.

Whoever may write where a socket lies can put another in its place, and then hears all that is sent to it. Ray
makes its own folders writable by everyone, so they lie in one of ours. Its path must be short, since a
Unix socket's may have 103 bytes (Linux 107), whatever TMPDIR a scheduler sets.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from dgad.errors import SettingsError

MAX_SOCKET_PATH_BYTES = 103
"""What every system takes: macOS 103, Linux 107."""
_PREFIX, _NUM_RANDOM = "dgad.", 8
_FALLBACKS = ("/tmp", "/var/tmp")
_NUM_KEPT = 3
"""Folders of owners that were killed, or ended by an error, which stay for their logs."""
_END_S = 5.0
_NEW_S = 60.0
"""So young a folder may not be held yet by whoever just made it."""


@contextlib.contextmanager
def hold_private_folder(inner_bytes: int) -> Iterator[Path]:
    """Give a folder of mode 0700 below which a socket's path may have `inner_bytes` more; gone on leaving.

    It is in TMPDIR where that is short enough, else in /tmp or /var/tmp; `SettingsError` where none is. After
    an error it stays, for the logs in it, as one of a killed process does; the newest three of them do.
    """
    parent = _find_parent(MAX_SOCKET_PATH_BYTES - inner_bytes)
    _remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))  # mode 0700, whatever the umask
    held = _take_lock(folder)
    try:
        yield folder
    except Exception:
        raise
    except BaseException:  # Ctrl-C or SIGTERM: an end like any other
        shutil.rmtree(folder, ignore_errors=True)
        raise
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        if held is not None:
            os.close(held)


def kill_processes_of(folder: Path) -> None:
    """Kill whatever writes its output below a private folder, and wait until it is gone (Linux only)."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):  # another user's, or gone
            target = Path(os.readlink(f"/proc/{process.pid}/fd/2"))
            if target.is_relative_to(folder) and process.pid != os.getpid():
                found |= {process, *process.children(recursive=True)}
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(found, timeout=_END_S)


def _find_parent(most_bytes: int) -> Path:
    """The first folder that is short enough and in which nobody else can rename what is ours."""
    named = [os.environ.get("RAY_TMPDIR"), tempfile.gettempdir(), *_FALLBACKS]
    candidates = [Path(name).absolute() for name in dict.fromkeys(filter(None, named))]
    for candidate in candidates:
        length = len(os.fsencode(candidate)) + len(f"/{_PREFIX}") + _NUM_RANDOM
        if length <= most_bytes and _is_safe(candidate):
            return candidate
    tried = ", ".join(str(candidate)[:80] for candidate in candidates)
    raise SettingsError(
        f"No folder is short enough for Ray's sockets, whose path may have {MAX_SOCKET_PATH_BYTES} bytes"
        f" (tried {tried}): set TMPDIR to a folder of at most {most_bytes - _NUM_RANDOM - len(_PREFIX) - 1}"
        " characters that you may write into."
    )


def _is_safe(folder: Path) -> bool:
    """Whether we may write there, and others cannot replace what we make."""
    try:
        found = folder.stat()
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode) or not os.access(folder, os.W_OK | os.X_OK):
        return False
    is_shared = bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    return found.st_uid in (0, os.getuid()) and (not is_shared or bool(found.st_mode & stat.S_ISVTX))


def _remove_abandoned(parent: Path) -> None:
    """Remove what killed processes of this user left there, but for the newest."""
    abandoned = []
    for folder in parent.glob(f"{_PREFIX}{'?' * _NUM_RANDOM}"):
        with contextlib.suppress(OSError):
            found = folder.lstat()
            is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
            if not is_ours or time.time() - found.st_ctime < _NEW_S:
                continue
            if (lock := _take_lock(folder)) is not None:
                os.close(lock)
                abandoned.append((found.st_ctime, folder))
    for _, folder in sorted(abandoned, reverse=True)[_NUM_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


def _take_lock(folder: Path) -> int | None:
    """Hold the folder until the descriptor is closed or this process ends; None where another holds it.

    What clears out temporary folders by age (systemd-tmpfiles) leaves a held one alone too.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
