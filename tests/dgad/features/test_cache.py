"""The cache in memory, before the one on disk."""

from pathlib import Path

import pytest
import torch

from dgad.features import cache as cache_module
from dgad.features.cache import FeatureCache
from dgad.features.disk_cache import DiskFeatureCache
from tests.dgad.features.processes import extracted, numbered_key, numbered_map, small_backbone, some_images

NUM_BYTES = 4 * 8 * 8


def disk_with(folder: Path, count: int) -> DiskFeatureCache:
    """A cache on disk that holds the first numbered maps, 8 x 8."""
    disk = DiskFeatureCache(folder, max_bytes=2**30)
    for number in range(count):
        disk.put(numbered_key(number), numbered_map(number, 8))
    return disk


def test_it_stays_under_its_bound_and_drops_the_least_recently_used() -> None:
    one = torch.zeros(1, 2, 2)
    cache = FeatureCache(max_bytes=2 * 16)
    for name in ("a", "b"):
        cache.put(("f", 4, name), one)
    assert cache.get(("f", 4, "a")) is not None
    cache.put(("f", 4, "c"), one)
    assert cache.get(("f", 4, "b")) is None
    assert cache.get(("f", 4, "a")) is not None
    assert cache.used_bytes == 32
    cache.put(("f", 4, "large"), torch.zeros(100))
    assert cache.used_bytes == 32


def test_a_map_from_the_disk_is_kept_as_it_lies_there_and_counts(tmp_path: Path) -> None:
    cache = FeatureCache(max_bytes=2 * NUM_BYTES, disk=disk_with(tmp_path, 3))
    first = cache.get(numbered_key(0), lasting=True)
    assert first is not None
    assert torch.equal(first, numbered_map(0, 8))
    assert cache.get(numbered_key(0)) is first
    for number in (1, 2):
        cache.get(numbered_key(number), lasting=True)
    assert (len(cache), cache.used_bytes) == (2, 2 * NUM_BYTES)
    assert cache.get(numbered_key(0)) is None
    assert cache.get(numbered_key(0), lasting=True) is not None


def test_only_what_lasts_goes_to_the_disk_and_is_looked_for_there(tmp_path: Path) -> None:
    disk = DiskFeatureCache(tmp_path, max_bytes=2**30)
    FeatureCache(disk=disk).put(numbered_key(0), numbered_map(0, 8))
    assert disk.get(numbered_key(0)) is None
    FeatureCache(disk=disk).put(numbered_key(0), numbered_map(0, 8), lasting=True)
    assert FeatureCache(disk=disk).get(numbered_key(0)) is None
    assert FeatureCache(disk=disk).get(numbered_key(0), lasting=True) is not None


def test_without_room_in_memory_the_disk_is_used_all_the_same(tmp_path: Path) -> None:
    cache = FeatureCache(max_bytes=0, disk=DiskFeatureCache(tmp_path, max_bytes=2**30))
    cache.put(numbered_key(0), numbered_map(0, 8), lasting=True)
    found = cache.get(numbered_key(0), lasting=True)
    assert found is not None
    assert torch.equal(found, numbered_map(0, 8))
    assert len(cache) == cache.used_bytes == 0


def test_no_more_files_stay_mapped_than_the_kernel_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def num_mapped() -> int:
        return Path("/proc/self/maps").read_text().count(str(tmp_path))

    if not Path("/proc/self/maps").is_file():
        pytest.skip("looks at the process in /proc")
    monkeypatch.setattr(cache_module, "_MAX_MAPPED", 3)
    cache = FeatureCache(max_bytes=5 * NUM_BYTES, disk=disk_with(tmp_path, 8))
    for number in range(5):
        cache.get(numbered_key(number), lasting=True)
    assert (len(cache), num_mapped()) == (5, 3)
    for number in range(5, 8):
        cache.get(numbered_key(number), lasting=True)
    assert (len(cache), num_mapped()) == (5, 2)  # 6 and 7: those that were dropped made place for them
    for number in range(3, 8):
        found = cache.get(numbered_key(number))
        assert found is not None
        assert torch.equal(found, numbered_map(number, 8))


def test_features_that_are_handed_out_are_copies(tmp_path: Path) -> None:
    body, images = small_backbone(), some_images()
    disk = DiskFeatureCache(tmp_path, max_bytes=2**30)
    computed, _ = extracted(body, images, disk)
    mapped, _ = extracted(body, images, disk)
    for level in mapped:
        level.zero_()  # on a mapped one this would kill the process
    again, num_seen = extracted(body, images, disk)
    assert num_seen == 0
    assert all(torch.equal(a, c) for a, c in zip(again, computed, strict=True))


def test_a_single_image_is_a_copy_too(tmp_path: Path) -> None:
    disk = DiskFeatureCache(tmp_path, max_bytes=2**30)
    computed, _ = extracted(small_backbone(), some_images(1), disk)
    for _ in range(2):
        maps, _ = extracted(small_backbone(), some_images(1), disk)
        assert all(torch.equal(a, c) for a, c in zip(maps, computed, strict=True))
        for level in maps:
            level.zero_()


def test_a_map_from_the_disk_is_kept_on_the_device_that_wants_it(tmp_path: Path) -> None:
    cache = FeatureCache(disk=disk_with(tmp_path, 1))
    found = cache.get(numbered_key(0), torch.device("meta"), lasting=True)
    assert found is not None
    assert found.device.type == "meta"
    assert cache.get(numbered_key(0)) is found
