"""What quicker ways through parts of scoring are worth: `python benchmarks/scoring_parts.py`.

Side by side, taking turns: reading a PNG photograph by Pillow alone, and inflated beforehand
(`dgad.domains.stored_png`); the backbone's maps of one image and of eight by the network as it is, and fused
(`dgad.features.fused`); smoothing eight pixel maps by convolutions, and by products. Milliseconds an image,
medians over the rounds, wall time; the ways must agree.
"""

# B maps, S pixels a side

import argparse
import dataclasses
import io
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dgad.comparer.model import gaussian_smooth
from dgad.domains.stored_png import stored_png
from dgad.features.backbone import Backbone
from dgad.features.fused import fuse_layers
from dgad.features.settings import FeatureSettings
from dgad.training.synthetic_sources import draw_sources

SIGMA_PX, REACH = 4.0, 4.0
BATCH = 8


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Two ways to the same."""

    name: str
    before: Callable[[], Any]
    now: Callable[[], Any]
    num_images: int


def read(data: bytes) -> Tensor:
    """Pixels of a file."""
    with Image.open(io.BytesIO(data)) as image:
        return torch.from_numpy(np.array(image))


def convolved(map_BSS: Tensor) -> Tensor:
    """A Gaussian by two convolutions."""
    radius = round(REACH * SIGMA_PX)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=map_BSS.dtype) / SIGMA_PX) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(map_BSS[:, None], (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))[:, 0]


def parts(options: argparse.Namespace) -> Iterator[Part]:
    """What is measured."""
    (drawn,) = draw_sources(1, seed=0, image_size_px=options.photograph_size)
    file = io.BytesIO()
    Image.fromarray(drawn.images.images[0].permute(1, 2, 0).numpy()).save(file, "PNG")
    data, pixels = file.getvalue(), options.photograph_size**2
    yield Part(
        name=f"PNG of {options.photograph_size} px ({len(data) / 1000:.0f} kB)",
        before=lambda: read(data),
        now=lambda: read(stored_png(data, pixels)),
        num_images=1,
    )
    settings = FeatureSettings(
        backbone=options.backbone, weights=options.weights, scale=f"squash {options.image_size}"
    )
    body = Backbone(settings, (8, 16), seed=0)
    quick, size = fuse_layers(body.body), options.image_size
    for count in (1, BATCH):
        images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
        yield Part(
            name=f"{options.backbone}, {count} of {size} px",
            before=partial(body, images),
            now=partial(body, images, quick),
            num_images=count,
        )
    maps = torch.rand(BATCH, size, size)
    yield Part(
        name=f"smoothing, {BATCH} of {size} px",
        before=partial(convolved, maps),
        now=partial(gaussian_smooth, maps, SIGMA_PX, reach=REACH, border="reflect"),
        num_images=BATCH,
    )


@torch.no_grad()
def measured(part: Part, rounds: int) -> tuple[float, float]:
    """(before, now) in milliseconds an image; `AssertionError` where they differ by more than rounding."""
    for own, other in zip(_tensors(part.now()), _tensors(part.before()), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-5 * float(other.max()))
    times: dict[str, list[float]] = {"before": [], "now": []}
    for _ in range(rounds):
        for name, way in (("before", part.before), ("now", part.now)):
            began = time.perf_counter()
            way()
            times[name].append(1000 * (time.perf_counter() - began) / part.num_images)
    return statistics.median(times["before"]), statistics.median(times["now"])


def _tensors(made: Any) -> list[Tensor]:
    return made if isinstance(made, list) else [made]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row a part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="resnet18", help="a ResNet of timm")
    parser.add_argument("--weights", default="builtin")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--photograph-size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args(arguments)
    print(f"{torch.get_num_threads()} threads, {options.rounds} rounds; ms an image")
    print(f"{'':32}{'before':>9}{'now':>9}{'ratio':>8}")
    for part in parts(options):
        before, now = measured(part, options.rounds)
        print(f"{part.name:32}{before:9.2f}{now:9.2f}{before / now:8.2f}", flush=True)


if __name__ == "__main__":
    main()
