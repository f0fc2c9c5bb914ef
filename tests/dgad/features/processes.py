"""What other processes do to a feature cache; without pytest, since every one of them imports this."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.features.backbone import Backbone
from dgad.features.cache import FeatureCache
from dgad.features.disk_cache import DiskFeatureCache, FeatureKey
from dgad.features.feature_file import encode
from dgad.features.frozen import FrozenFeatures
from dgad.features.settings import FeatureSettings

CPU = torch.device("cpu")
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])  # torch is imported once, not in every process


def started(work: Callable[..., None], *arguments: Any) -> tuple[Any, Connection]:
    """(a process that does `work(connection, *arguments)`, our end of the connection)."""
    ours, theirs = multiprocessing.Pipe()
    process = _CONTEXT.Process(target=work, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def numbered_key(number: int) -> FeatureKey:
    """A key of its own for every number."""
    return ("fingerprint", 4, f"image {number}")


def numbered_map(number: int, size: int) -> Tensor:
    """What belongs under that key, float32 (1, size, size)."""
    generator = torch.Generator().manual_seed(number)
    return torch.randn(1, size, size, generator=generator)


def plain_maps(count: int, size: int) -> list[Tensor]:
    """Maps that are quick to make: each is its number everywhere."""
    return [torch.full((1, size, size), float(number)) for number in range(count)]


def put_numbered(
    connection: Connection, folder: Path, max_bytes: int, first: int, count: int, size: int
) -> None:
    """Put that many maps, and say when it begins."""
    cache = DiskFeatureCache(folder, max_bytes=max_bytes)
    connection.send("ready")
    for number in range(first, first + count):
        cache.put(numbered_key(number), numbered_map(number, size))


def put_all(connection: Connection, folder: Path, max_bytes: int, num_keys: int, size: int) -> None:
    """Put the `plain_maps`, and wait to be killed."""
    maps = plain_maps(num_keys, size)
    cache = DiskFeatureCache(folder, max_bytes=max_bytes)
    encode(maps[0], "")  # what Arrow imports on first use takes longer than some writers live
    connection.send("ready")
    for number, feature in enumerate(maps):
        cache.put(numbered_key(number), feature)
    connection.recv()


def overwrite_mapped(connection: Connection, folder: Path) -> None:
    """Do what nobody may."""
    found = DiskFeatureCache(folder, max_bytes=2**20).get(numbered_key(0))
    assert found is not None
    connection.send("mapped")
    found.zero_()


def use_read_only(connection: Connection, folder: Path) -> None:
    """Get map 0 and put map 1 where nothing may be written; sends (0 was right, 1 was found)."""
    os.chdir(folder)  # which only its owner may come to by its whole name
    for place in (folder, *folder.iterdir()):
        place.chmod(0o555 if place.is_dir() else 0o444)
    if os.geteuid() == 0:  # root may write everywhere
        os.seteuid(65534)
    cache = DiskFeatureCache(Path(), max_bytes=2**20)
    found = cache.get(numbered_key(0))
    cache.put(numbered_key(1), numbered_map(1, 8))
    is_right = found is not None and torch.equal(found, numbered_map(0, 8))
    connection.send((is_right, cache.get(numbered_key(1)) is not None))


def small_backbone(seed: int = 0, **settings: Any) -> Backbone:
    """Random weights, strides 4 and 8, for images of 64 px."""
    features = FeatureSettings(**{"weights": "none", "scale": "squash 64", **settings})
    return Backbone(features, (4, 8), seed=seed)


def some_images(count: int = 3, *, size_px: int = 64, first: int = 0) -> ImageSet:
    """Different images, with keys such as those of files."""
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (first + count, 3, size_px, size_px), dtype=torch.uint8, generator=draw)
    keys = tuple(f"sum{i}-{size_px}" for i in range(first, first + count))
    return ImageSet(images=pixels[first:], keys=keys)


def extracted(
    body: Backbone, images: ImageSet, disk: DiskFeatureCache | None, *, lasting: bool = True
) -> tuple[list[Tensor], int]:
    """(maps out of a fresh cache in memory before that disk, images that the backbone was given)."""
    seen = []
    body.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    frozen = FrozenFeatures(body, FeatureCache(disk=disk), CPU, lasting=lasting)
    return frozen.maps(images), sum(seen)


def extract(connection: Connection, folder: Path) -> None:
    """Send what `extracted` gives in this process."""
    maps, num_seen = extracted(small_backbone(), some_images(), DiskFeatureCache(folder, max_bytes=2**30))
    connection.send(([m.numpy() for m in maps], num_seen))
