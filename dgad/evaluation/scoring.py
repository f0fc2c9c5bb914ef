"""Score one target with one fitted method: references drawn, queries scored, metrics, time."""

# N queries, h_i x w_i the score map of query i

import contextlib
import dataclasses
import math
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dgad.domains.base import Domain, Sample
from dgad.domains.decoding import image_size
from dgad.domains.geometry import Geometry
from dgad.domains.image_set import ImageSet
from dgad.domains.images import load_images, load_masks
from dgad.errors import DataError, SettingsError
from dgad.evaluation.metrics import Metrics, compute_metrics
from dgad.methods.base import Method
from dgad.seeds import seed_for

_NUM_TIMED = 8

NumReferences = int | str
"""A count, `P%` of the target's train normals (rounded up), or `all`."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TargetDomain:
    """A target decoded once: its normals to draw references from, and its labelled queries."""

    name: str
    normal_ids: tuple[str, ...]
    normals: ImageSet
    query_ids: tuple[str, ...]
    queries: ImageSet
    kinds: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    """(N,): 0 normal, 1 abnormal."""
    masks: tuple[npt.NDArray[np.bool_] | None, ...]
    photograph_px: tuple[int, ...] = ()
    """Pixels of the photographs of the first queries, those that are timed; empty where not known."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TargetScores:
    """What one method answered on one target."""

    domain: str
    sample_ids: tuple[str, ...]
    kinds: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    image_scores: npt.NDArray[np.float32]
    pixel_maps: tuple[npt.NDArray[np.float32], ...] | None
    """(h_i, w_i) of every query, NaN outside of its region; None where the method does not localise."""
    reference_ids: tuple[str, ...]
    ms_per_image: float
    """Median over single uncached queries, features included, enrolment excluded."""
    enroll_s: float
    metrics: Metrics
    ms_per_megapixel: float | None = None
    """The same for 10^6 pixels of the photographs as they came; None where their sizes are not known."""


def load_target(domain: Domain, geometry: Geometry) -> TargetDomain:
    """Decode a target's train normals, test images and masks."""
    queries = load_images(domain.tests, geometry)
    return TargetDomain(
        name=domain.name,
        normal_ids=tuple(s.id for s in domain.train_normals),
        normals=load_images(domain.train_normals, geometry),
        query_ids=tuple(s.id for s in domain.tests),
        queries=queries,
        kinds=tuple(s.kind for s in domain.tests),
        labels=np.array([s.label for s in domain.tests], dtype=np.int64),
        masks=load_masks(domain.tests, queries.sizes),
        photograph_px=_count_pixels(domain.tests),
    )


def _count_pixels(samples: Sequence[Sample]) -> tuple[int, ...]:
    """Pixels of the first photographs, by their headers."""
    sizes = [image_size(s.image.read(), s.image.path) for s in samples[: _NUM_TIMED + 1]]
    return tuple(height * width for height, width in sizes)


def parse_num_references(text: str) -> NumReferences:
    """`10`, `25%` or `all`; `SettingsError` for anything else."""
    cleaned = text.strip()
    if cleaned == "all":
        return cleaned
    if cleaned.endswith("%"):
        with contextlib.suppress(ValueError):
            if 0 < float(cleaned[:-1]) <= 100:
                return cleaned
    with contextlib.suppress(ValueError):
        return int(cleaned)
    raise SettingsError(
        f"`num_references` must be a whole number, a percentage such as 10%, or all, but got {text!r}."
    )


def parse_reference_counts(text: str) -> tuple[NumReferences, ...]:
    """`1,2,5,all` or `10%,50%,100%`; `SettingsError` for anything else."""
    return tuple(dict.fromkeys(parse_num_references(part) for part in text.split(",")))


def count_references(domain: str, num_normals: int, wanted: NumReferences) -> int:
    """How many references `wanted` means; `DataError` for none or for more than exist."""
    if num_normals == 0:
        raise DataError(f"Domain `{domain}` has no train normals, so it has no references to compare with.")
    if isinstance(wanted, int):
        count = wanted
    elif wanted == "all":
        count = num_normals
    else:
        count = math.ceil(num_normals * float(wanted.removesuffix("%")) / 100)
    if count < 1:
        raise DataError(f"`num_references` must be at least 1, but got {count}.")
    if count > num_normals:
        raise DataError(
            f"`num_references` must be at most {num_normals}, the train normals of domain `{domain}`, but"
            f" got {count}; `all` takes them all."
        )
    return count


def draw_references(domain: str, num_normals: int, wanted: NumReferences, seed: int) -> tuple[int, ...]:
    """Indices of the references: a prefix of one seeded permutation, so that draws of one seed nest."""
    count = count_references(domain, num_normals, wanted)
    order = np.random.default_rng(seed_for(seed, domain, "references")).permutation(num_normals)
    return tuple(int(i) for i in order[:count])


def check_queries(domain: Domain) -> None:
    """Raise `DataError` unless the target has test images to score."""
    if not domain.tests:
        raise DataError(f"Domain `{domain.name}` has no test images, so there is nothing to score.")


def score_target(
    method: Method, target: TargetDomain, *, num_references: NumReferences, seed: int
) -> TargetScores:
    """Enrol references of the target and score every query of it.

    Labels and masks reach the metrics only. Raises `DataError` for a number of references that the
    target does not have.
    """
    drawn = draw_references(target.name, len(target.normals), num_references, seed)
    started = time.perf_counter()
    enrolled = method.enroll(target.normals.take(drawn))
    enroll_s = time.perf_counter() - started
    scores = method.score(target.queries, enrolled)
    image_scores = scores.image.numpy().astype(np.float32)
    maps = None if scores.pixels is None else tuple(m.numpy().astype(np.float32) for m in scores.pixels)
    timings = []
    for index in range(min(_NUM_TIMED + 1, len(target.queries))):
        # Without keys nothing comes out of the feature cache, as it would not on a line either.
        lazy = target.queries.take([index]).without_keys()
        single = dataclasses.replace(lazy, images=list(lazy.images))  # decoding is not scoring
        begun = time.perf_counter()
        method.score(single, enrolled)
        timings.append(1000 * (time.perf_counter() - begun))
    used = slice(1, None) if len(timings) > 1 else slice(None)  # the first pays for warming up
    px = target.photograph_px[: len(timings)]
    by_px = [1e6 * ms / count for ms, count in zip(timings, px, strict=True)] if px else []
    return TargetScores(
        domain=target.name,
        sample_ids=target.query_ids,
        kinds=target.kinds,
        labels=target.labels,
        image_scores=image_scores,
        pixel_maps=maps,
        reference_ids=tuple(target.normal_ids[i] for i in drawn),
        ms_per_image=float(np.median(timings[used])) if timings else float("nan"),
        ms_per_megapixel=float(np.median(by_px[used])) if by_px else None,
        enroll_s=enroll_s,
        metrics=compute_metrics(
            target.labels,
            image_scores,
            target.masks,
            maps,
            seed=seed_for(seed, target.name, "bootstrap"),
            scored=() if maps is None else _scored_cells(target.queries, maps),
        ),
    )


def _scored_cells(
    queries: ImageSet, maps: Sequence[npt.NDArray[np.float32]]
) -> tuple[npt.NDArray[np.bool_] | None, ...]:
    """Which cells of every map lie in its region of interest; empty where no image has one."""
    if not queries.regions:
        return ()
    return tuple(
        None if region is None else region.counts(*own.shape)
        for region, own in zip(queries.regions, maps, strict=True)
    )
