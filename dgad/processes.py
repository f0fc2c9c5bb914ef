"""One process of this machine, told from a later one with its number by its birth, and signalled."""

import contextlib
import dataclasses
import os
import signal
from collections.abc import Callable, Iterator

import psutil

from dgad.errors import SettingsError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Birth:
    """When a process began."""

    epoch_s: float
    """Seconds since 1970, UTC; by the start of the machine, so it moves when the clock is set right."""
    boot_ticks: int
    """Clock ticks since the machine was started."""


def read_birth(pid: int) -> Birth | None:
    """When the process began; None where none runs under the number, or none that this user may ask.

    One that has ended and whose parent has not asked for its exit status does not run.
    """
    if pid < 1:  # what would be a whole group of processes to a signal
        return None
    try:
        if psutil.Process(pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        began_s, boot_s = psutil.Process(pid).create_time(), psutil.boot_time()
        while (again_s := psutil.Process(pid).create_time()) != began_s:  # the clock was set in between
            began_s, boot_s = again_s, psutil.boot_time()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return Birth(epoch_s=began_s, boot_ticks=round((began_s - boot_s) * os.sysconf("SC_CLK_TCK")))


def send_signal(pid: int, number: signal.Signals, is_that_process: Callable[[], bool]) -> bool:
    """Signal the process under the number if it is the one that is meant; False where that one has ended.

    `is_that_process` is asked once the number cannot be given to another any more, which holds where the
    system has process descriptors. Raises `SettingsError` for another user's process.
    """
    try:
        with _open_descriptor(pid) as descriptor:
            if not is_that_process():
                return False
            if descriptor is None:
                os.kill(pid, number)
            else:
                signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        raise SettingsError(
            f"Process {pid} belongs to another user: ask them to stop it, or become that user."
        ) from None
    return True


@contextlib.contextmanager
def _open_descriptor(pid: int) -> Iterator[int | None]:
    """What stays that process's even if its number is given to another; None where the system has no such."""
    try:
        descriptor = os.pidfd_open(pid) if hasattr(os, "pidfd_open") and pid > 0 else None
    except ProcessLookupError:
        raise
    except (OSError, OverflowError):  # a kernel or sandbox without it, or what can be no number
        descriptor = None
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)
