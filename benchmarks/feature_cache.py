"""What keeping frozen features is worth: `python benchmarks/feature_cache.py`.

Feature maps of N procedural images by one backbone, in rounds of: computed with no cache; out of memory;
computed and written to an empty cache on disk; mapped from that cache with nothing in memory, as by another
process or a later study. The files are still in the kernel's page cache, as they are while a study runs.
Printed is the median over the rounds, and how many times quicker than no cache it is. Every row must give
the same maps.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.errors import UserError
from dgad.features.backbone import Backbone
from dgad.features.cache import FeatureCache
from dgad.features.disk_cache import DiskFeatureCache
from dgad.features.frozen import FrozenFeatures
from dgad.features.settings import FeatureSettings
from dgad.training.synthetic_sources import draw_sources

ROWS = ("no cache", "memory", "disk, cold", "disk, warm")


def images(count: int, size_px: int) -> ImageSet:
    """`count` procedural photographs."""
    pixels: list[Tensor] = []
    keys: list[str] = []
    number = 0
    while len(keys) < count:
        (drawn,) = draw_sources(1, seed=number, image_size_px=size_px)
        pixels += drawn.images.images
        keys += drawn.images.keys
        number += 1
    return ImageSet(images=pixels, keys=tuple(keys)).take(range(count))


def timed(body: Backbone, cache: FeatureCache, drawn: ImageSet) -> tuple[float, list[Tensor]]:
    """(seconds, maps)."""
    frozen = FrozenFeatures(body, cache, torch.device("cpu"))
    started = time.perf_counter()
    maps = frozen.maps(drawn)
    return time.perf_counter() - started, maps


def one_round(body: Backbone, drawn: ImageSet, folder: Path) -> dict[str, float]:
    """Seconds by row; `AssertionError` where a row's maps are others."""
    memory, disk = FeatureCache(max_bytes=2**40), DiskFeatureCache(folder, max_bytes=2**40)
    timed(body, memory, drawn)
    caches = (FeatureCache(max_bytes=0), memory, FeatureCache(disk=disk), FeatureCache(disk=disk))
    seconds: dict[str, float] = {}
    expected: list[Tensor] = []
    for row, cache in zip(ROWS, caches, strict=True):
        seconds[row], maps = timed(body, cache, drawn)
        expected = expected or maps
        assert all(torch.equal(m, e) for m, e in zip(maps, expected, strict=True)), row
    return seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit status 2, with one sentence, for a mistake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="images (default: 200)")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--backbone", default="resnet18", help="timm model (default: resnet18)")
    parser.add_argument("--weights", default="builtin", help="as of `dgad evaluate` (default: builtin)")
    parser.add_argument("--image-size", type=int, default=128, help="pixels a side (default: 128)")
    options = parser.parse_args(arguments)
    if options.count < 1 or options.rounds < 1:
        parser.error(f"--count and --rounds must be 1 or more, but got {options.count} and {options.rounds}")
    features = FeatureSettings(
        backbone=options.backbone, weights=options.weights, scale=f"squash {options.image_size}"
    )
    try:
        body = Backbone(features, (4, 8), seed=0)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    drawn = images(options.count, options.image_size)
    rounds = []
    with tempfile.TemporaryDirectory(prefix="dgad-features-") as folder:
        one_round(body, drawn.take([0]), Path(folder) / "imports")
        for number in range(options.rounds):
            rounds.append(one_round(body, drawn, Path(folder) / str(number)))
    print(f"{options.count} images of {options.image_size} px, {options.backbone}, strides 4 and 8, cpu,")
    print(f"{torch.get_num_threads()} threads, median of {options.rounds} rounds")
    medians = {row: statistics.median(r[row] for r in rounds) for row in ROWS}
    for row, seconds in medians.items():
        each, ratio = 1000 * seconds / options.count, medians["no cache"] / seconds
        print(f"{row:12}{each:9.2f} ms an image {ratio:8.2f} x")


if __name__ == "__main__":
    main()
