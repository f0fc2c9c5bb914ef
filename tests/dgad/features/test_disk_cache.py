"""The cache on disk: shared by processes that are really killed, bounded, and never the end of a fit."""

import contextlib
import logging
import os
import random
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from dgad.features.disk_cache import DiskFeatureCache
from tests.dgad.features.processes import (
    extract,
    extracted,
    numbered_key,
    numbered_map,
    overwrite_mapped,
    plain_maps,
    put_all,
    put_numbered,
    small_backbone,
    some_images,
    started,
    use_read_only,
)

MIB = 2**20


def files_in(folder: Path) -> set[Path]:
    """Every file in the subfolders, finished or not."""
    return {p for p in folder.glob("*/*") if p.is_file()}


def temporaries_in(folder: Path) -> set[Path]:
    return {p for p in files_in(folder) if p.name.startswith(".")}


def num_bytes(folder: Path) -> int:
    total = 0
    for path in files_in(folder):
        with contextlib.suppress(FileNotFoundError):  # renamed or removed since
            total += path.stat().st_size
    return total


# What is kept


def test_a_map_is_found_by_every_part_of_its_key_only(tmp_path: Path) -> None:
    cache = DiskFeatureCache(tmp_path / "cache", max_bytes=MIB, made_by="1")
    feature = torch.randn(2, 4, 4)
    cache.put(("weights", 4, "image"), feature)
    found = cache.get(("weights", 4, "image"))
    assert found is not None
    assert torch.equal(found, feature)
    for other in (("other", 4, "image"), ("weights", 8, "image"), ("weights", 4, "other")):
        assert cache.get(other) is None
    later = DiskFeatureCache(tmp_path / "cache", max_bytes=MIB, made_by="2")
    assert later.get(("weights", 4, "image")) is None


def test_what_arrow_has_no_type_for_is_left_out(tmp_path: Path) -> None:
    cache = DiskFeatureCache(tmp_path, max_bytes=MIB)
    cache.put(numbered_key(0), torch.zeros(1, 2, 2, dtype=torch.bfloat16))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "swap"])
def test_a_damaged_file_is_a_miss_and_makes_place_for_a_whole_one(tmp_path: Path, damage: str) -> None:
    cache = DiskFeatureCache(tmp_path, max_bytes=MIB)
    cache.put(numbered_key(0), numbered_map(0, 16))
    (path,) = files_in(tmp_path)
    whole = path.read_bytes()
    if damage == "swap":
        cache.put(numbered_key(1), numbered_map(1, 16))
        (other,) = files_in(tmp_path) - {path}
        other.replace(path)
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        path.write_bytes({"flip": flipped, "cut": whole[:middle], "empty": b""}[damage])
    assert cache.get(numbered_key(0)) is None
    assert not path.exists()
    cache.put(numbered_key(0), numbered_map(0, 16))
    assert path.read_bytes() == whole


def test_another_process_computes_nothing_that_is_there(tmp_path: Path) -> None:
    here, num_seen = extracted(small_backbone(), some_images(), DiskFeatureCache(tmp_path, max_bytes=2**30))
    assert num_seen == 3
    process, connection = started(extract, tmp_path)
    there, num_seen = connection.recv()
    process.join()
    assert num_seen == 0
    for h, t in zip(here, there, strict=True):
        assert torch.equal(h, torch.from_numpy(t))


def test_other_weights_images_sizes_and_constants_are_computed(tmp_path: Path) -> None:
    def num_seen(body=None, images=None) -> int:  # type: ignore[no-untyped-def]
        disk = DiskFeatureCache(tmp_path, max_bytes=2**30)
        return extracted(body or small_backbone(), images or some_images(), disk)[1]

    assert num_seen() == 3
    assert num_seen() == 0
    assert num_seen(images=some_images(4)) == 1
    assert num_seen(images=some_images(size_px=32)) == 3
    assert num_seen(body=small_backbone(seed=1)) == 3
    other = small_backbone()
    other.mean += 0.1  # as another model with the same weights may have it
    assert num_seen(body=other) == 3


def test_maps_of_weights_that_a_fit_has_changed_stay_off_the_disk(tmp_path: Path) -> None:
    disk = DiskFeatureCache(tmp_path / "cache", max_bytes=2**30)
    assert extracted(small_backbone(), some_images(), disk, lasting=False)[1] == 3
    assert not (tmp_path / "cache").exists()


# The bound


def test_the_least_recently_used_go_first_and_a_read_is_a_use(tmp_path: Path) -> None:
    cache = DiskFeatureCache(tmp_path, max_bytes=MIB)
    places = []
    for number in range(40):
        before = files_in(tmp_path)
        cache.put(numbered_key(number), numbered_map(number, 60))  # 14,400 bytes, of 16,384 that may be
        (path,) = files_in(tmp_path) - before
        os.utime(path, (1000 + number, 1000 + number))
        places.append(path)
    for number in (3, 0):
        assert cache.get(numbered_key(number)) is not None
    for number in range(40, 70):
        cache.put(numbered_key(number), numbered_map(number, 60))
    kept = [number for number, path in enumerate(places) if path.exists()]
    assert kept[:2] == [0, 3]
    assert kept[2:] == list(range(40 - len(kept[2:]), 40))
    assert 10 < len(kept) < 39


def test_a_map_that_would_take_much_of_the_bound_is_not_kept(tmp_path: Path) -> None:
    cache = DiskFeatureCache(tmp_path, max_bytes=MIB)
    cache.put(numbered_key(0), numbered_map(0, 128))
    assert files_in(tmp_path) == set()


@pytest.mark.slow
def test_four_writers_at_once_stay_under_the_bound(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    count, size = 150, 50  # 4 x 150 x 10 kB are 6 times the bound
    pairs = [started(put_numbered, folder, MIB, count * i, count, size) for i in range(4)]
    writers = [process for process, _ in pairs]
    highest = 0
    while any(w.is_alive() for w in writers):
        if folder.is_dir():
            with FileLock(folder / ".lock"):  # nothing is removed meanwhile, so nothing is counted too much
                highest = max(highest, num_bytes(folder))
        time.sleep(0.03)  # the writers want the lock too
    assert [w.exitcode for w in writers] == [0] * 4
    assert MIB // 2 < highest <= MIB
    cache = DiskFeatureCache(folder, max_bytes=MIB)
    found = {n: cache.get(numbered_key(n)) for n in range(4 * count)}
    kept = {n: f for n, f in found.items() if f is not None}
    assert len(kept) == len(files_in(folder))
    assert all(torch.equal(f, numbered_map(n, size)) for n, f in kept.items())


def test_files_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    others = [folder / "photo.png", folder / "ab" / "notes.txt", folder / "photos" / f"{'0' * 64}.arrow"]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * MIB)
        os.utime(path, (1, 1))
    cache = DiskFeatureCache(folder, max_bytes=MIB)
    for number in range(100):
        cache.put(numbered_key(number), numbered_map(number, 60))
    assert all(path.exists() for path in others)
    assert cache.get(numbered_key(99)) is not None


# Faults


@pytest.mark.slow
def test_killed_writers_leave_whole_maps_and_their_temporaries_go(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    bound, num_keys, size = 1024 * MIB, 200, 512  # 1 MiB a map
    generator = random.Random(0)
    expected = plain_maps(num_keys, size)
    for _ in range(20):
        process, connection = started(put_all, folder, bound, num_keys, size)
        assert connection.recv() == "ready"
        time.sleep(generator.uniform(0.0, 0.1))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        present = files_in(folder) - temporaries_in(folder)
        reader = DiskFeatureCache(folder, max_bytes=bound)
        found = [(n, f) for n in range(num_keys) if (f := reader.get(numbered_key(n))) is not None]
        assert len(found) == len(present)  # a torn one would be a miss
        assert all(torch.equal(f, expected[n]) for n, f in found)
        for path in present:  # so that the next one has as much to write
            path.unlink()
    left = temporaries_in(folder)
    assert left, "no writer was killed in the middle"
    young = left.pop()
    for path in left:
        os.utime(path, (1, 1))
    DiskFeatureCache(folder, max_bytes=bound).put(numbered_key(num_keys), torch.zeros(1, 2, 2))
    assert temporaries_in(folder) == {young}  # its writer may be at it yet


@contextlib.contextmanager
def no_file_over(num_bytes: int) -> Iterator[None]:
    """A disk on which that much is free: a longer write fails as on a full one."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_is_told_once_and_features_are_computed_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain, _ = extracted(small_backbone(), some_images(), None)
    disk = DiskFeatureCache(tmp_path / "cache", max_bytes=2**30)
    with caplog.at_level(logging.WARNING), no_file_over(1000):
        maps, num_seen = extracted(small_backbone(), some_images(), disk)
    assert num_seen == 3
    assert all(torch.equal(m, p) for m, p in zip(maps, plain, strict=True))
    assert len(caplog.records) == 1
    assert str(tmp_path / "cache") in caplog.text
    assert files_in(tmp_path / "cache") == set()


def test_a_folder_that_cannot_be_made_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    disk = DiskFeatureCache(tmp_path / "file" / "cache", max_bytes=2**30)
    assert extracted(small_backbone(), some_images(), disk)[1] == 3
    assert len(caplog.records) == 1


def test_a_read_only_folder_still_gives_what_it_has(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    DiskFeatureCache(folder, max_bytes=MIB).put(numbered_key(0), numbered_map(0, 8))
    process, connection = started(use_read_only, folder)
    assert connection.recv() == (True, False)
    process.join()
    assert process.exitcode == 0


def test_writing_into_a_mapped_map_kills_the_writer_and_changes_nothing(tmp_path: Path) -> None:
    cache = DiskFeatureCache(tmp_path, max_bytes=MIB)
    cache.put(numbered_key(0), numbered_map(0, 16))
    process, connection = started(overwrite_mapped, tmp_path)
    assert connection.recv() == "mapped"
    process.join()
    assert process.exitcode in (-signal.SIGSEGV, -signal.SIGBUS)
    found = cache.get(numbered_key(0))
    assert found is not None
    assert torch.equal(found, numbered_map(0, 16))
