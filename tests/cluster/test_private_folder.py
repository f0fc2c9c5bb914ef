"""The short folder that nobody else may enter: where it lies, who is kept out, and what becomes of it."""

import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster import private_folder
from cluster.private_folder import MAX_SOCKET_PATH_BYTES, hold_private_folder, kill_processes_of
from dgad.errors import SettingsError
from tests.other_user import REFUSED, TRY, needs_another_user, run_as_other

HOLD = """
import sys
from cluster.private_folder import hold_private_folder
with hold_private_folder(20) as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where folders are made in this test, for it alone."""
    monkeypatch.setattr(private_folder.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(private_folder, "MAX_SOCKET_PATH_BYTES", 300)
    return tmp_path


def test_it_is_short_and_ones_own_wherever_a_scheduler_puts_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("job-" + "7" * 90)
    long.mkdir()
    monkeypatch.setattr(private_folder.tempfile, "gettempdir", lambda: str(long))
    with hold_private_folder(40) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        path = folder / ("s" * 39)
        assert len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    assert not folder.exists()


def test_without_a_short_folder_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_folder, "_FALLBACKS", ())
    monkeypatch.setattr(private_folder.tempfile, "gettempdir", lambda: "/tmp/" + "x" * 100)
    with (
        pytest.raises(SettingsError, match=r"No folder is short enough .* set TMPDIR to a folder of at most"),
        hold_private_folder(20),
    ):
        pass


def test_where_others_could_rename_it_it_is_not_made(
    tmp_path: Path, parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safe = tmp_path / "safe"
    safe.mkdir()
    parent.chmod(0o777)  # without the sticky bit
    monkeypatch.setattr(private_folder, "_FALLBACKS", (str(safe),))
    with hold_private_folder(20) as folder:
        assert folder.parent == safe


@needs_another_user
def test_another_user_neither_sees_nor_replaces_what_is_in_it() -> None:
    with hold_private_folder(20) as folder:
        inner = folder / "r"
        inner.mkdir()
        inner.chmod(0o777)  # as Ray does
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(inner / "socket"))
            listening.listen()
            assert run_as_other(TRY, inner / "socket") == REFUSED


def test_after_an_error_it_stays_for_its_logs_and_goes_in_time(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(i: int) -> None:
        with hold_private_folder(20) as folder:
            (folder / f"log{i}").touch()
            raise ValueError("boom")

    for i in range(6):
        with pytest.raises(ValueError, match="boom"):
            fail(i)
    assert len(list(parent.glob("dgad.*"))) == 6, "younger than a minute they may have been made just now"
    monkeypatch.setattr(private_folder, "_NEW_S", -1.0)
    with hold_private_folder(20):
        pass
    assert sorted(path.name for path in parent.glob("dgad.*/*")) == ["log3", "log4", "log5"]


def test_one_that_is_held_is_left_alone_and_a_killed_owners_is_not() -> None:
    environment = {**os.environ, "TMPDIR": "/tmp", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    try:
        assert private_folder._take_lock(folder) is None
    finally:
        owner.kill()
        owner.communicate(timeout=60)
    lock = private_folder._take_lock(folder)
    assert lock is not None
    os.close(lock)
    folder.rmdir()


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="reads open files from /proc")
def test_who_logs_there_is_killed_with_what_it_started(tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as log:
        theirs = subprocess.Popen(["sh", "-c", "sleep 600 2>/dev/null & wait"], stderr=log)
    other = subprocess.Popen(["sleep", "600"])
    time.sleep(0.2)
    try:
        kill_processes_of(tmp_path)
        assert theirs.poll() is not None
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
