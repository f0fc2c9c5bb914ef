"""Files and folders stay whole when their writer is really killed."""

import errno
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dgad import files
from dgad.errors import DataError
from dgad.files import (
    check_can_write,
    is_disk_trouble,
    is_temporary,
    remove_stale_temporaries,
    replace_folder_atomic,
    write_atomic,
)
from dgad.storage import Storage

WRITE_FOREVER = """
import sys
from dgad.files import write_atomic
print("ready", flush=True)
i = 0
while True:
    write_atomic(sys.argv[1], bytes([i % 256]) * 200_000)
    i += 1
"""

REPLACE_FOREVER = """
import sys
from dgad.files import replace_folder_atomic
print("ready", flush=True)
i = 0
while True:
    with replace_folder_atomic(sys.argv[1]) as folder:
        for name in ("a", "b", "c"):
            (folder / name).write_text(str(i))
    i += 1
"""


def kill_repeatedly(code, path, check, times=12):
    """Run `code` with `path`, kill -9 it at a random moment, then `check()`; `times` times."""
    generator = random.Random(0)
    for _ in range(times):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        try:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(generator.uniform(0.0, 0.06))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
        check()


def test_a_killed_writer_leaves_the_file_whole_or_absent(tmp_path):
    path = tmp_path / "data.bin"

    def check():
        if path.exists():
            data = path.read_bytes()
            assert len(data) == 200_000
            assert len(set(data)) == 1

    kill_repeatedly(WRITE_FOREVER, path, check)
    assert path.exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="two folders swap in one step on Linux only")
def test_a_killed_writer_leaves_the_folder_whole(tmp_path):
    path = tmp_path / "bundle"
    with replace_folder_atomic(path) as folder:
        for name in "abc":
            (folder / name).write_text("first")

    def check():
        assert {(path / name).read_text() for name in "abc"}.__len__() == 1
        assert sorted(os.listdir(path)) == ["a", "b", "c"]

    kill_repeatedly(REPLACE_FOREVER, path, check)
    assert (path / "a").read_text() != "first"


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_folder_is_replaced_completely(tmp_path, monkeypatch, in_one_step):
    if not in_one_step:
        monkeypatch.setattr(files, "_exchange_in_one_step", lambda first, second: False)
    path = tmp_path / "deep" / "bundle"
    with replace_folder_atomic(path) as folder:
        (folder / "old").write_text("1")
    with replace_folder_atomic(path) as folder:
        assert (path / "old").exists()
        (folder / "new").write_text("2")
    assert os.listdir(path) == ["new"]
    assert os.listdir(path.parent) == ["bundle"]


def test_a_failure_while_filling_keeps_the_old_folder(tmp_path):
    path = tmp_path / "bundle"
    with replace_folder_atomic(path) as folder:
        (folder / "old").write_text("1")

    def fill_and_fail():
        with replace_folder_atomic(path) as folder:
            (folder / "new").write_text("2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fill_and_fail()
    assert os.listdir(path) == ["old"]
    assert os.listdir(tmp_path) == ["bundle"]


def test_write_atomic_makes_folders_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, b"1")
    write_atomic(str(path), b"2")
    assert path.read_bytes() == b"2"
    assert os.listdir(path.parent) == ["file"]


def test_files_get_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", b"1")
        with replace_folder_atomic(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


def test_what_cannot_be_written_into_is_told_and_nothing_is_made(tmp_path, monkeypatch):
    check_can_write(tmp_path / "new" / "deeper")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="must be a folder to write into"):
        check_can_write(tmp_path / "file" / "deeper")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(DataError, match=f"{tmp_path} is not writable"):
        check_can_write(tmp_path / "new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_stale_temporaries_go_and_young_ones_stay(tmp_path):
    old_file, old_folder, young = (tmp_path / f".x.tmp-1-{i}" for i in range(3))
    other = tmp_path / ".hidden"
    old_folder.mkdir()
    for path in (old_file, young, other):
        path.write_text("x")
    for path in (old_file, old_folder, other):
        os.utime(path, (1, 1))
    assert remove_stale_temporaries(tmp_path) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == [".hidden", young.name]
    assert is_temporary(young.name)
    assert not is_temporary(other.name)
    assert remove_stale_temporaries(Path(tmp_path / "none")) == 0


def test_what_the_system_refuses_to_write_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    """A full disk is told without a name; here no file may grow beyond ten bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        for write in (write_atomic, lambda path, data: Storage(path.parent).create(path.name, data)):
            with pytest.raises(OSError, match="File too large") as refused:
                write(tmp_path / "file", b"more than ten bytes")
            assert refused.value.filename == str(tmp_path / "file")
            assert is_disk_trouble(refused.value)
            told = pickle.loads(pickle.dumps(refused.value))  # as between processes
            assert (told.errno, told.filename) == (errno.EFBIG, str(tmp_path / "file"))
        with (
            pytest.raises(OSError, match="File too large") as refused,
            replace_folder_atomic(tmp_path / "folder") as temporary,
        ):
            (temporary / "file").write_bytes(b"more than ten bytes")
        assert refused.value.filename == str(tmp_path / "folder")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
    assert not is_disk_trouble(FileNotFoundError(errno.ENOENT, "", "a"))
