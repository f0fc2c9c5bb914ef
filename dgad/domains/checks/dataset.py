"""Everything that can be wrong with a data set, found before a search spends hours on it."""

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from dgad.domains.base import Dataset, Domain, Sample
from dgad.domains.checks.listing import describe_domain, list_domain_problems
from dgad.domains.checks.masks import MaskLook, list_mask_problems, look_at
from dgad.domains.checks.sizes import (
    DomainSizes,
    SampleSizes,
    list_outside_problems,
    list_size_problems,
    measure_sample,
    summarise_sizes,
)
from dgad.domains.decoding import decode_mask_values, decode_with_range
from dgad.domains.domain_file import declaring
from dgad.domains.geometry import Geometry
from dgad.domains.layouts import LAYOUTS, open_dataset
from dgad.domains.problems import SEVERITIES, Problem, Severity
from dgad.domains.wide_values import WideRange, find_narrow_range
from dgad.errors import DataError, ImageError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DomainCounts:
    """What one domain holds: numbers of images, of masks and of every kind of defect."""

    domain: str
    train_normals: int
    test_normals: int
    defects: Mapping[str, int]
    """Abnormal test images by kind."""
    masks: int
    sizes: DomainSizes | None = None
    """Of photographs and defects, and what the scale makes of them; None where no image could be read."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """Counts and problems, the gravest first."""

    location: str
    layout: str
    domains: tuple[DomainCounts, ...]
    problems: tuple[Problem, ...]

    @property
    def num_fatal(self) -> int:
        """How many problems make any figure measured on the data worthless."""
        return sum(p.severity == "fatal" for p in self.problems)


def check_dataset(
    location: str | os.PathLike[str],
    *,
    layout: str | None = None,
    geometry: Geometry | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CheckResult:
    """Decode every image and mask once and list every problem; `progress` gets (done, total) images.

    `geometry` is how they will be looked at, unless a domain states a scale of its own; by default as an
    experiment does unless told. Raises `DataError` where there is no data set at all.
    """
    location = os.fspath(location)
    dataset = open_dataset(location, layout=layout)
    problems = list(LAYOUTS[dataset.layout].strays(location))
    samples = [s for d in dataset.domains.values() for s in d.samples]
    by_content: dict[str, list[Sample]] = {}
    looks: dict[str, dict[str, MaskLook]] = {}
    ranges: dict[str, list[WideRange | None]] = {name: [] for name in dataset.domains}
    measured: dict[str, list[SampleSizes]] = {name: [] for name in dataset.domains}
    for done, sample in enumerate(samples, start=1):
        found = _check_sample(sample, looks.setdefault(sample.domain, {}))
        problems += found.problems
        ranges[sample.domain].append(found.wide)
        if found.sizes is not None:
            measured[sample.domain].append(found.sizes)
            problems += list_outside_problems(sample, found.sizes)
        if found.content is not None:
            by_content.setdefault(found.content, []).append(sample)
        progress(done, len(samples))
    geometry = geometry or Geometry()
    sizes = {d.name: summarise_sizes(d, measured[d.name], geometry) for d in dataset.domains.values()}
    for same in by_content.values():
        problems += _check_same(same)
    for domain in dataset.domains.values():
        problems += [*_check_domain(domain, dataset), *_check_ranges(domain, dataset, ranges[domain.name])]
        problems += list_mask_problems(domain.name, looks.get(domain.name, {}))
        problems += list_size_problems(domain, dataset, sizes[domain.name])
    problems.sort(key=lambda p: (SEVERITIES.index(p.severity), p.domain, p.code, p.path))
    return CheckResult(
        location=location, layout=dataset.layout, domains=_counts(dataset, sizes), problems=tuple(problems)
    )


def _counts(dataset: Dataset, sizes: Mapping[str, DomainSizes | None]) -> tuple[DomainCounts, ...]:
    return tuple(
        DomainCounts(
            domain=d.name,
            train_normals=len(d.train_normals),
            test_normals=sum(s.label == 0 for s in d.tests),
            defects=dict(sorted(Counter(s.kind for s in d.tests if s.label).items())),
            masks=sum(s.mask is not None for s in d.tests),
            sizes=sizes[d.name],
        )
        for d in dataset.domains.values()
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _SampleCheck:
    """What was seen of one sample."""

    problems: tuple[Problem, ...]
    content: str | None
    """A hash of its pixels, where it decodes; here and below."""
    wide: WideRange | None
    sizes: SampleSizes | None


def _check_sample(sample: Sample, looks: dict[str, MaskLook]) -> _SampleCheck:
    """Decode a sample and its mask, which is added to `looks` unless it marks nothing."""
    problems: list[Problem] = []
    size: tuple[int, int] | None = None
    content, wide = None, None
    try:
        decoded = decode_with_range(sample.image.read(), sample.image.path, bit_depth=sample.image.bit_depth)
        pixels, wide = np.ascontiguousarray(decoded.image), decoded.wide
        size = (pixels.shape[0], pixels.shape[1])
        digest = hashlib.sha256(repr(size).encode())
        digest.update(pixels.data)
        content = digest.hexdigest()
    except ImageError as error:
        problems.append(_unreadable(sample, sample.image.path, error))
    if size is not None and sample.image.region is not None:
        try:
            sample.image.region.check_fits(*size)
        except DataError as error:
            message = f"does not fit its domain's region of interest: {str(error).rstrip('.')}"
            problems.append(_problem("fatal", "region_of_another_shape", sample, sample.image.path, message))
    mask = _check_mask(sample, size, looks, problems)
    sizes = None if size is None else measure_sample(sample, size, mask)
    return _SampleCheck(problems=tuple(problems), content=content, wide=wide, sizes=sizes)


def _check_mask(
    sample: Sample, size: tuple[int, int] | None, looks: dict[str, MaskLook], problems: list[Problem]
) -> npt.NDArray[np.bool_] | None:
    """The pixels that a mask marks, if it can be used; what is wrong with it is added to `problems`."""
    if sample.mask is None:
        return None
    path = sample.mask.path
    try:
        values = decode_mask_values(sample.mask.read(), path)
    except ImageError as error:
        problems.append(_unreadable(sample, path, error))
        return None
    mask = values.marked
    is_of_image = size is None or mask.shape == size
    if size is not None and not is_of_image:
        message = (
            f"is a mask of {mask.shape[1]} x {mask.shape[0]} pixels, but its image has {size[1]} x {size[0]}"
        )
        problems.append(_problem("fatal", "mask_of_another_size", sample, path, message))
    if not mask.any():
        message = "is a mask that marks nothing; the image counts as one without a mask"
        problems.append(_problem("warning", "empty_mask", sample, path, message))
        return None
    looks[path] = look_at(values)
    return mask if is_of_image else None


def _check_same(same: Sequence[Sample]) -> Iterator[Problem]:
    """Problems of samples whose decoded pixels are equal: one per sample after the first."""
    first = same[0]
    for position, other in enumerate(same[1:], start=1):
        also = f"is the same image as {first.image.path}"
        # Against all earlier ones, not only the first: train, train, test is a leak too.
        earlier = same[:position]
        if any(e.domain != other.domain for e in earlier):
            message = f"{also}, in another domain: what is trained on there would be scored here"
            yield _problem("fatal", "same_image_in_two_domains", other, other.image.path, message)
        elif any(e.split != other.split for e in earlier):
            message = f"{also}: one is in train, the other in test"
            yield _problem("fatal", "same_image_in_train_and_test", other, other.image.path, message)
        elif any(e.label != other.label for e in earlier):
            message = f"{also}, under the other label"
            yield _problem("fatal", "same_image_under_two_labels", other, other.image.path, message)
        else:
            yield _problem("warning", "same_image_twice", other, other.image.path, also)


def _check_domain(domain: Domain, dataset: Dataset) -> Iterator[Problem]:
    """Problems of a domain as a whole."""
    yield from list_domain_problems(domain, dataset)

    def problem(severity: Severity, code: str, message: str) -> Problem:
        return describe_domain(severity, code, domain, dataset, message)

    if not domain.train_normals:
        yield problem("fatal", "no_train_normals", "has no normal training image, so no reference either")
    abnormal = [s for s in domain.tests if s.label]
    if not abnormal:
        yield problem("warning", "no_defects", "has no abnormal test image: a source cannot teach with it")
    if len({s.label for s in domain.tests}) < 2:
        message = "has test images of fewer than 2 classes: as a target its AUROC is undefined"
        yield problem("warning", "one_test_class", message)
    num_masked = sum(s.mask is not None for s in abnormal)
    if 0 < num_masked < len(abnormal):
        message = (
            f"has masks for {num_masked} of {len(abnormal)} abnormal images: only those have pixel metrics"
        )
        yield problem("warning", "some_masks_missing", message)
    shared = {s.photograph for s in domain.train_normals} & {s.photograph for s in domain.tests} - {None}
    if shared:
        message = f"has {len(shared)} photographs with crops both in train and in test"
        yield problem("warning", "photograph_in_train_and_test", message)


def _check_ranges(domain: Domain, dataset: Dataset, ranges: Sequence[WideRange | None]) -> Iterator[Problem]:
    narrow = find_narrow_range(ranges)
    if narrow is not None:
        message = f"has {narrow.describe(declaring)}"
        yield describe_domain("warning", "narrow_value_range", domain, dataset, message)


def _problem(severity: Severity, code: str, sample: Sample, path: str, message: str) -> Problem:
    return Problem(severity=severity, code=code, domain=sample.domain, path=path, message=message)


def _unreadable(sample: Sample, path: str, error: ImageError) -> Problem:
    message = str(error).removeprefix(f"{path} ").rstrip(".")
    return _problem("fatal", "unreadable_file", sample, path, message)
