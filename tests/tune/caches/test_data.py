"""Packed data at a URI, copied once to the disk of a node."""

import os
import threading
import time
from pathlib import Path

import pytest

from dgad.domains import open_dataset
from dgad.domains.pack import pack
from dgad.errors import DataError
from tests.s3_server import S3Server
from tune.caches.data import make_local_copy
from tune.caches.features import CachePlan


def _plan(folder: Path, max_bytes: int = 10**9) -> CachePlan:
    return CachePlan(folder=folder / "features", max_bytes=max_bytes)


def test_a_uri_is_copied_once_and_reads_the_same(s3: S3Server, surfaces: Path, tmp_path: Path) -> None:
    uri = s3.uri(f"shelf/{tmp_path.name}")
    pack(str(surfaces), uri)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(make_local_copy(uri, _plan(tmp_path)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (copy,) = set(found)
    assert Path(copy).is_relative_to(tmp_path / "data")
    assert open_dataset(copy).fingerprint() == open_dataset(str(surfaces)).fingerprint()
    inode = os.stat(copy).st_ino
    assert make_local_copy(uri, _plan(tmp_path)) == copy
    assert os.stat(copy).st_ino == inode
    assert make_local_copy(uri, None) == uri


def test_a_folder_and_what_is_not_packed_stay_where_they_are(
    s3: S3Server, surfaces: Path, tmp_path: Path
) -> None:
    assert make_local_copy(str(surfaces), _plan(tmp_path)) == str(surfaces)
    empty = s3.uri(f"shelf/{tmp_path.name}-empty")
    assert make_local_copy(empty, _plan(tmp_path)) == empty
    assert not (tmp_path / "data").exists()


def test_old_copies_give_way_and_those_in_use_stay(s3: S3Server, surfaces: Path, tmp_path: Path) -> None:
    uris = [s3.uri(f"shelf/{tmp_path.name}-{n}") for n in range(3)]
    for uri in uris:
        pack(str(surfaces), uri)
    first = Path(make_local_copy(uris[0], _plan(tmp_path, 1)))
    second = Path(make_local_copy(uris[1], _plan(tmp_path, 1)))
    assert first.is_dir()  # used a moment ago
    yesterday = time.time() - 2 * 24 * 3600
    os.utime(first, (yesterday, yesterday))
    third = Path(make_local_copy(uris[2], _plan(tmp_path, 1)))
    assert [p.is_dir() for p in (first, second, third)] == [False, True, True]


def test_a_disk_that_cannot_be_written_is_one_sentence(s3: S3Server, surfaces: Path, tmp_path: Path) -> None:
    uri = s3.uri(f"shelf/{tmp_path.name}")
    pack(str(surfaces), uri)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be copied to .*--cache-gib 0"):
        make_local_copy(uri, CachePlan(folder=tmp_path / "file" / "features", max_bytes=10**9))
