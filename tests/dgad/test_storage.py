"""Bytes under names: the same in a folder and on a real S3 server."""

import multiprocessing
import os
import pickle
import signal
import stat
import time
from pathlib import Path

import pytest

from dgad.errors import DataError, RecordError, StoreError, UserError
from dgad.files import remove_stale_temporaries
from dgad.storage import DATA, REFERENCES, RUNS, ErrorWording, Storage, probe
from tests.s3_server import S3Server


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty place of either kind."""
    if request.param == "folder":
        return Storage(tmp_path / "shelf")
    server: S3Server = request.getfixturevalue("s3")
    return Storage(server.uri(f"shelf/{tmp_path.name}"))


def test_what_is_written_is_read_listed_and_removed(storage: Storage) -> None:
    assert storage.read("a/b.json") is None
    assert storage.sizes() == {}
    storage.write("a/b.json", b"one")
    storage.write("a/b.json", b"two!")
    storage.write("c.txt", b"")
    assert storage.read("a/b.json") == b"two!"
    assert storage.read("a/b.json", 3) == b"two"
    assert storage.read("a/none.json", 3) is None
    assert abs(storage.modified("a")["a/b.json"] - time.time()) < 60
    assert storage.exists("c.txt")
    assert storage.sizes() == {"c.txt": 0}
    assert storage.sizes("a") == {"a/b.json": 4}
    assert storage.sizes(deep=True) == {"a/b.json": 4, "c.txt": 0}
    assert storage.folders() == ("a",)
    assert storage.child("a").read("b.json") == b"two!"
    assert storage.child("a").sibling("x").location == storage.child("x").location
    storage.delete("a/b.json")
    storage.delete("a/b.json")
    assert not storage.exists("a/b.json")


def test_a_name_is_created_once(storage: Storage) -> None:
    assert storage.create("0.json", b"first")
    assert not storage.create("0.json", b"second")
    assert storage.read("0.json") == b"first"


def test_what_a_killed_creation_leaves_is_hidden_and_can_be_cleaned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(source: Path, target: Path) -> None:
        raise SystemExit  # a kill leaves the file, which `create` itself would remove

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", killed)
        patched.setattr(Path, "unlink", lambda path, missing_ok: None)
        with pytest.raises(SystemExit):
            Storage(tmp_path).create("0.json", b"half")
    assert len(list(tmp_path.iterdir())) == 1
    assert Storage(tmp_path).sizes() == {}
    assert Storage(tmp_path).create("0.json", b"whole")
    assert remove_stale_temporaries(tmp_path, older_than_s=-1) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["0.json"]


def test_it_travels_and_can_be_probed(storage: Storage) -> None:
    probe(storage)
    assert storage.sizes(deep=True) == {}
    storage.write("x", b"1")
    assert pickle.loads(pickle.dumps(storage)).read("x") == b"1"


def _write_for_ever(location: str) -> None:
    storage = Storage(location)
    for number in range(10**6):
        storage.write("big", bytes([number % 256]) * 2_000_000)


def test_a_killed_writer_leaves_the_whole_old_or_the_whole_new(storage: Storage) -> None:
    for _ in range(3):
        writer = multiprocessing.get_context("spawn").Process(
            target=_write_for_ever, args=(storage.location,)
        )
        writer.start()
        while storage.read("big") is None:
            time.sleep(0.05)
        time.sleep(0.3)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        data = storage.read("big")
        assert data is not None
        assert len(data) == 2_000_000
        assert len(set(data)) == 1
        assert list(storage.sizes()) == ["big"]


def test_a_place_that_cannot_be_had_is_told_in_one_sentence(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecordError, match=r"nowhere/x cannot be written .*check that the place exists"):
        Storage(s3.uri("nowhere")).write("x", b"1")
    gone = s3.uri("shelf").replace(str(s3.port), "9")
    with pytest.raises(RecordError, match=r"shelf/x cannot be read .*can be reached from this host"):
        Storage(gone).read("x")
    with pytest.raises(RecordError, match=r"^s3://shelf/runs cannot be used \(it carries credentials"):
        Storage("s3://me:secret@shelf/runs")
    with pytest.raises(RecordError, match="ftp://x/y cannot be used"):
        Storage("ftp://x/y")
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot be written"):
        probe(Storage(tmp_path / "file" / "below"))


@pytest.mark.parametrize(
    ("wording", "error", "unusable", "disk"),
    [
        (RUNS, RecordError, r"^ftp://x cannot be used .* such as s3://bucket/runs or", None),
        (REFERENCES, StoreError, r"^ftp://x cannot be used .* such as s3://bucket/runs or", "another store"),
        (DATA, DataError, r"^The location ftp://x cannot be used .* such as s3://bucket/folder or", None),
    ],
    ids=["runs", "references", "data"],
)
def test_each_kind_of_storage_raises_its_own_error_also_elsewhere(
    tmp_path: Path, wording: ErrorWording, error: type[UserError], unusable: str, disk: str | None
) -> None:
    with pytest.raises(error, match=unusable):
        Storage("ftp://x", wording)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    storage = pickle.loads(pickle.dumps(Storage(tmp_path, wording).child("x").sibling("file")))
    refused = OSError if disk is None else error
    with pytest.raises(refused, match=disk or "file"):
        storage.write("a", b"1")
    with pytest.raises(refused, match=disk or "file"):
        storage.create("a", b"1")
    with pytest.raises(error, match=r"folder cannot be read .*check that the place exists"):
        storage.sibling("folder").read("")


def test_a_file_uri_is_the_folder_itself(tmp_path: Path) -> None:
    storage = Storage(f"file://{tmp_path}/shelf", REFERENCES)
    assert storage.is_local
    assert storage.location == Storage(tmp_path / "shelf").location
    assert storage.create("a", b"1")
    assert pickle.loads(pickle.dumps(storage)).sizes() == {"a": 1}


def test_a_folder_that_it_makes_is_nobody_elses_and_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    made, given = Storage(tmp_path / "a" / "made"), Storage(tmp_path / "given")
    (tmp_path / "given").mkdir(mode=0o755)
    (tmp_path / "given").chmod(0o755)
    for storage in (made, given):
        storage.make_folder()
        storage.write("keys.json", b"{}", private=True)
        storage.write("keys.json", b"[]", private=True)
        assert stat.S_IMODE(os.stat(storage.path("keys.json")).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(made.location).st_mode) == 0o700
    assert (made.is_open_to_others, given.is_open_to_others) == (False, True)
