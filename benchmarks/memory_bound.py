"""What a bound on the reference memory costs: `python benchmarks/memory_bound.py --data DIR`.

`patch_knn` on every domain of DIR, with memories of at most `--bounds` patches that cover the others
(`dgad.features.memory.coverage`), and with as many drawn at random, beside all of them: mean image AUROC over
domains and draws of references, its mean difference from all, how long choosing took, and what comparing a
megapixel takes, in milliseconds. Without --data on a few procedural surfaces, which shows that it runs and
little else. With --out every result is appended as it comes.
"""

# N queries, K reference patches, C channels

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from dgad.device import resolve_device
from dgad.domains import open_dataset
from dgad.domains.base import Sample
from dgad.domains.geometry import Geometry
from dgad.domains.image_set import ImageSet
from dgad.domains.images import load_images
from dgad.errors import SettingsError
from dgad.evaluation.metrics import image_auroc
from dgad.features.cache import FeatureCache
from dgad.features.memory.coverage import CoverageMemory
from dgad.features.memory.nearest import usual_distances
from dgad.features.settings import FeatureSettings
from dgad.methods.base import Context, Enrolled
from dgad.methods.patch_knn import PatchKnnMethod, PatchKnnSettings
from dgad.seeds import seed_for
from dgad.training.synthetic_sources import draw_sources

ALL, COVERAGE, UNIFORM = "all", "coverage", "uniform"
EVERY_PATCH = 10**9
PROCEDURAL = Geometry(scale="squash 64")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """References to draw from, and queries with their labels (N,)."""

    name: str
    references: ImageSet
    queries: ImageSet
    labels: Tensor


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One memory on one surface."""

    surface: str
    levels: str
    num_references: int
    draw: int
    choice: str
    bound: int
    num_given: int
    auroc: float
    choose_s: float
    ms_per_megapixel: float


def read_surfaces(options: argparse.Namespace) -> Iterator[Surface]:
    """Of the data set, or procedural ones."""
    if options.data is None:
        for source in draw_sources(2, seed=options.seed, image_size_px=PROCEDURAL.drawn_px):
            normal = torch.nonzero(source.labels == 0).flatten().tolist()
            half, rest = normal[: len(normal) // 2], normal[len(normal) // 2 :]
            queries = rest + torch.nonzero(source.labels == 1).flatten().tolist()
            yield Surface(
                name=source.name,
                references=source.images.take(half),
                queries=source.images.take(queries),
                labels=source.labels[queries],
            )
        return
    geometry = Geometry(scale=options.scale)
    for domain in open_dataset(options.data).domains.values():
        if options.domains and domain.name not in options.domains:
            continue
        good = draw([s for s in domain.tests if not s.label], options.num_normal, options.seed)
        bad = draw([s for s in domain.tests if s.label], options.num_abnormal, options.seed)
        yield Surface(
            name=domain.name,
            references=load_images(domain.train_normals, geometry),
            queries=load_images([*good, *bad], geometry),
            labels=torch.tensor([s.label for s in (*good, *bad)]),
        )


def draw(samples: Sequence[Sample], most: int, seed: int) -> list[Sample]:
    """At most so many, in their order."""
    return [samples[i] for i in drawn(len(samples), most, seed)]


def drawn(count: int, most: int, seed: int) -> list[int]:
    """At most `most` of `count` indices, ascending."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return sorted(order[:most].tolist())


def choose(enrolled: Enrolled, owner_K: Tensor, choice: str, bound: int, seed: int) -> Enrolled:
    """What is enrolled, with a memory of at most `bound` patches chosen so."""
    memory_KC = enrolled.tensors["memory"]
    if choice == UNIFORM:
        generator = torch.Generator().manual_seed(seed)
        kept = torch.randperm(len(memory_KC), generator=generator)[:bound].sort().values
        memory_KC, owner_K = memory_KC[kept], owner_K[kept]
    else:
        memory = CoverageMemory(bound)
        for owner in owner_K.unique().tolist():
            memory.add(memory_KC[owner_K == owner], owner)
        memory_KC, owner_K = memory.result()
    tensors = {"memory": memory_KC, "usual": usual_distances(memory_KC, owner_K)}
    return dataclasses.replace(enrolled, tensors={**enrolled.tensors, **tensors})


def measure(surface: Surface, levels: str, options: argparse.Namespace) -> Iterator[Row]:
    """Every memory on one surface; features are computed once."""
    strides = [int(s) for s in levels.split("+")]
    settings = PatchKnnSettings(
        finest_stride=strides[0],  # type: ignore[arg-type]
        num_levels=len(strides),
        max_memory_patches=EVERY_PATCH,
    )
    features = FeatureSettings(weights=options.weights, scale=options.scale)
    context = Context(features=features, device=resolve_device("cpu"), cache=FeatureCache())
    method = PatchKnnMethod(settings, context)
    if len(set(surface.references.sizes)) > 1:
        raise SettingsError(f"{surface.name}: references of one size are needed, so `scale` must be squash.")
    method.prepare(surface.queries)
    megapixels = sum(h * w for h, w in surface.queries.sizes) / 1e6
    for num_references in options.num_references:
        for number in range(options.draws):
            chosen = drawn(
                len(surface.references), num_references, seed_for(options.seed, "draw", str(number))
            )
            references = surface.references.take(chosen)
            everything = method.enroll(references)
            num_given = len(everything.tensors["memory"])
            owner_K = torch.arange(num_given) * len(references) // num_given
            ways = [(c, b) for b in options.bounds if b < num_given for c in (COVERAGE, UNIFORM)]
            for choice, bound in ((ALL, num_given), *ways):
                start = time.perf_counter()
                enrolled = everything if choice == ALL else choose(everything, owner_K, choice, bound, number)
                enrolled_at = time.perf_counter()
                scores = method.score(surface.queries, enrolled).image
                yield Row(
                    surface=surface.name,
                    levels=levels,
                    num_references=num_references,
                    draw=number,
                    choice=choice,
                    bound=bound,
                    num_given=num_given,
                    auroc=image_auroc(surface.labels.numpy(), scores.numpy()) or float("nan"),
                    choose_s=enrolled_at - start,
                    ms_per_megapixel=1000 * (time.perf_counter() - enrolled_at) / megapixels,
                )


def print_table(rows: Sequence[Row]) -> None:
    """One line a memory."""
    print(
        f"\n{'strides':>8}{'refs':>6}{'bound':>8} {'choice':10}{'AUROC':>8}{'to all':>9}{'worst':>8}{'n':>5}"
        f"{'choose s':>10}{'ms/MP':>8}"
    )
    every = {(r.surface, r.levels, r.num_references, r.draw): r for r in rows if r.choice == ALL}
    groups = dict.fromkeys((r.levels, r.num_references, r.choice != ALL and r.bound, r.choice) for r in rows)
    for levels, num_references, bound, choice in sorted(groups, key=lambda g: (g[0], g[1], g[2], g[3])):
        own = [
            r
            for r in rows
            if (r.levels, r.num_references, r.choice) == (levels, num_references, choice)
            and (choice == ALL or r.bound == bound)
        ]
        gains = [r.auroc - every[r.surface, r.levels, r.num_references, r.draw].auroc for r in own]
        print(
            f"{levels:>8}{num_references:>6}{bound or 'none':>8} {choice:10}"
            f"{statistics.mean(r.auroc for r in own):>8.4f}{statistics.mean(gains):>+9.4f}{min(gains):>+8.3f}"
            f"{len(own):>5}{statistics.median(r.choose_s for r in own):>10.2f}"
            f"{statistics.median(r.ms_per_megapixel for r in own):>8.0f}"
        )


def numbers(text: str) -> list[int]:
    """Whole numbers from `1,2,3`."""
    return [int(part) for part in text.split(",")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", help="folder or URI of a data set")
    parser.add_argument("--domains", type=lambda text: text.split(","), help="default: all")
    parser.add_argument("--scale", help=f"default: squash 128; of procedural surfaces {PROCEDURAL.scale}")
    parser.add_argument("--weights", default="builtin")
    parser.add_argument("--levels", default="8,4+8", help="strides that are joined (default: 8,4+8)")
    parser.add_argument("--num-references", type=numbers, default=[10, 40])
    parser.add_argument("--bounds", type=numbers, default=[256, 512, 1024, 2048, 4096, 8192, 16384])
    parser.add_argument("--draws", type=int, default=3, help="of references")
    parser.add_argument("--num-normal", type=int, default=36, help="at most so many normal queries")
    parser.add_argument("--num-abnormal", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a file of JSON lines, appended to")
    options = parser.parse_args(arguments)
    options.scale = options.scale or (PROCEDURAL.scale if options.data is None else "squash 128")
    rows = []
    for surface in read_surfaces(options):
        for levels in options.levels.split(","):
            for row in measure(surface, levels, options):
                rows.append(row)
                if options.out is not None:
                    with options.out.open("a") as file:
                        file.write(json.dumps(dataclasses.asdict(row)) + "\n")
    print(f"{options.data or 'procedural'}: {options.scale}, {torch.get_num_threads()} threads")
    print_table(rows)


if __name__ == "__main__":
    main()
