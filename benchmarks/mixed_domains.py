"""What a batch of several surfaces costs: `python benchmarks/mixed_domains.py [--method patch_knn]`.

Procedural surfaces are enrolled once; a batch of queries is then prepared and scored as the service does it,
all of one surface and of as many as there are, in turn, so that both meet the same load. Printed are the
median milliseconds an image of both, their ratio (images a second of mixed batches over those of single ones)
and what an enrolment takes, for every normalisation.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

import torch

from dgad.device import resolve_device
from dgad.domains.image_set import ImageSet
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS, parse_method
from dgad.methods.base import Context, Enrolled, Method
from dgad.training.synthetic_sources import draw_sources

_NUM_REFERENCES = 10


def time_batch(method: Method, queries: Sequence[ImageSet], targets: Sequence[Enrolled]) -> float:
    """Seconds of a batch that holds the given queries of each target; nothing of it is kept before."""
    method.context.cache.clear()
    began = time.perf_counter()
    together = ImageSet(
        images=[image for own in queries for image in own.images],
        keys=tuple(key for own in queries for key in own.keys),
    )
    each = [target for own, target in zip(queries, targets, strict=True) for _ in range(len(own))]
    method.prepare(together, each)
    for own, target in zip(queries, targets, strict=True):
        method.score(own, target)
    return time.perf_counter() - began


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", default="patch_knn")
    parser.add_argument("--normalisations", default="pretrained,auto,references")
    parser.add_argument("--surfaces", type=int, default=8)
    parser.add_argument("--images", type=int, default=16, help="in a batch")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    drawn = draw_sources(options.surfaces, seed=0, image_size_px=options.side)
    name, _, settings = parse_method(options.method)
    print(f"{'normalisation':14}{'enrolment s':>12}{'one surface ms':>16}{'mixed ms':>10}{'ratio':>7}")
    for normalisation in options.normalisations.split(","):
        features = FeatureSettings(normalisation=normalisation)
        context = Context(features=features, device=resolve_device(options.device), cache=FeatureCache(2**28))
        method = METHODS[name](settings, context)
        method.fit((), seed=0)
        targets, enrolments, queries = [], [], []
        for source in drawn:
            normals = [i for i, label in enumerate(source.labels.tolist()) if not label]
            chosen = [normals[i % len(normals)] for i in range(_NUM_REFERENCES)]
            began = time.perf_counter()
            targets.append(method.enroll(source.images.take(chosen).without_keys()))
            enrolments.append(time.perf_counter() - began)
            rows = torch.arange(options.images) % len(source.images)
            images = [source.images.images[i] for i in rows.tolist()]
            keys = tuple(f"{source.name}-{i}" for i in range(options.images))
            queries.append(ImageSet(images=images, keys=keys))
        share = max(1, options.images // options.surfaces)
        parts = [own.take(range(share)) for own in queries]
        alone, mixed = [], []
        for _ in range(options.repeats):
            alone.append(time_batch(method, queries[:1], targets[:1]) / options.images)
            mixed.append(time_batch(method, parts, targets) / (share * len(parts)))
        one, many = 1000 * statistics.median(alone[1:]), 1000 * statistics.median(mixed[1:])
        enrolment = statistics.median(enrolments)
        print(f"{normalisation:14}{enrolment:12.2f}{one:16.1f}{many:10.1f}{one / many:7.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
