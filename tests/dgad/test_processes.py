"""A process is told from a later one with its number, and only the one that is meant is signalled."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dgad.errors import SettingsError
from dgad.processes import read_birth, send_signal


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs until it is ended."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    yield process
    process.kill()
    process.wait()


def _refuse(*arguments: object) -> None:
    raise AssertionError("by its number, which another process may have meanwhile")


def test_a_birth_is_read_by_both_clocks() -> None:
    birth = read_birth(os.getpid())
    assert birth is not None
    assert 0 < time.time() - birth.epoch_s < 24 * 3600
    if Path("/proc/self/stat").exists():
        assert str(birth.boot_ticks) == Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]


@pytest.mark.parametrize("pid", [-1, 0, 2**22 + 1, 2**70])
def test_a_number_of_no_process_has_no_birth_and_is_not_signalled(pid: int) -> None:
    assert read_birth(pid) is None
    assert not send_signal(pid, signal.SIGTERM, lambda: read_birth(pid) is not None)


def test_the_process_that_is_meant_is_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    birth = read_birth(sleeper.pid)
    assert send_signal(sleeper.pid, signal.SIGTERM, lambda: read_birth(sleeper.pid) == birth)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert read_birth(sleeper.pid) is None  # ended, and nobody has asked for its exit status
    assert sleeper.wait() == -signal.SIGTERM
    assert not send_signal(sleeper.pid, signal.SIGTERM, lambda: True)


def test_another_process_is_not_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    assert not send_signal(sleeper.pid, signal.SIGTERM, lambda: False)
    with pytest.raises(subprocess.TimeoutExpired):
        sleeper.wait(timeout=0.3)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs process descriptors, as Linux has them")
def test_a_number_given_away_after_the_question_is_not_signalled(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_first() -> bool:
        sleeper.kill()
        sleeper.wait()  # from here on the number is free
        monkeypatch.setattr(os, "kill", _refuse)
        return True

    assert not send_signal(sleeper.pid, signal.SIGTERM, end_first)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs process descriptors, as Linux has them")
@pytest.mark.parametrize("reason", [errno.ENOSYS, errno.EPERM])
def test_without_descriptors_the_number_serves(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    def lack(pid: int) -> int:
        raise OSError(reason, os.strerror(reason))  # by a kernel or sandbox without them

    monkeypatch.setattr(os, "pidfd_open", lack)
    assert send_signal(sleeper.pid, signal.SIGTERM, lambda: True)
    assert sleeper.wait() == -signal.SIGTERM


def test_another_users_process_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    monkeypatch.setattr(signal, "pidfd_send_signal", refuse, raising=False)
    with pytest.raises(SettingsError, match=rf"^Process {os.getpid()} belongs to another user: ask them"):
        send_signal(os.getpid(), signal.SIGTERM, lambda: True)
