"""What can be told wrong with a data set before its images are decoded, and warnings where it is used."""

import contextlib
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence

from dgad.domains.base import Dataset, Domain
from dgad.domains.checks.masks import MaskLook, list_mask_problems, look_at
from dgad.domains.decoding import decode_mask_values
from dgad.domains.layouts import LAYOUTS
from dgad.domains.normal_names import NORMAL_NAMES, suggests_normal
from dgad.domains.problems import Problem, Severity
from dgad.domains.trees.masks import is_marked, stem_of_mask
from dgad.errors import DataWarning, ImageError

_MAX_TOLD = 3
"""Problems that a warning tells; all of them are for `dgad domains check`."""


def check_listing(dataset: Dataset, names: Sequence[str] | None = None, *, with_masks: bool = False) -> None:
    """Raise `DataError` where one of the named domains cannot be used; warn of what else listing finds wrong.

    Without names it is of all domains, and of folders that were left out because they are none. `with_masks`
    decodes the masks, and warns of those that do not look like masks.
    """
    used = tuple(dataset.domains if names is None else names)
    problems = list(LAYOUTS[dataset.layout].strays(dataset.location)) if dataset.layout else []
    problems = [
        p for p in problems if p.domain in used or (names is None and p.domain not in dataset.domains)
    ]
    for name in used:
        domain = dataset.domain(name)
        problems += list_domain_problems(domain, dataset)
        if with_masks:
            problems += list_mask_problems(name, _look_at_masks(domain))
    warn_of(problems, dataset.location)


def _look_at_masks(domain: Domain) -> dict[str, MaskLook]:
    looks = {}
    for mask in (s.mask for s in domain.samples if s.mask is not None):
        with contextlib.suppress(ImageError):  # is told where, and if, it is needed
            looks[mask.path] = look_at(decode_mask_values(mask.read(), mask.path))
    return looks


def warn_of(problems: Sequence[Problem], location: str) -> None:
    """Issue a `DataWarning` that tells the first three of the problems that are more than notes."""
    told = [f"{p.path} {p.message}" for p in problems if p.severity != "note"]
    if told:
        more = f"; and {len(told) - _MAX_TOLD} more" if len(told) > _MAX_TOLD else ""
        warnings.warn(
            f"{'; '.join(told[:_MAX_TOLD])}{more}: `dgad domains check {location}` lists every problem.",
            DataWarning,
            stacklevel=3,
        )


def list_domain_problems(domain: Domain, dataset: Dataset) -> Iterator[Problem]:
    """What listing alone finds wrong with a domain: names and sidecars, before any image is decoded."""
    yield from domain.problems
    looked_for = f"looked for folders called {', '.join(NORMAL_NAMES)}, in any case"
    if domain.tests and not any(s.label == 0 for s in domain.tests):
        message = f"has no normal test image, so every figure that needs one is missing; {looked_for}"
        yield describe_domain("warning", "no_test_normals", domain, dataset, message)
    counts = Counter(s.kind for s in domain.samples if s.label)
    for kind in sorted(filter(suggests_normal, counts)):
        message = (
            f"counts the {counts[kind]} images of `{kind}` as defects, though that name says otherwise; where"
            f" they are normal, call their folder {NORMAL_NAMES[0]}"
        )
        yield describe_domain("warning", "kind_called_normal", domain, dataset, message)
    for kind, names in _masks_among(domain).items():
        message = (
            f"counts {len(names)} files of `{kind}` as photographs that are called masks, such as {names[0]};"
            f" where they are, move them to ground_truth/{kind}"
        )
        yield describe_domain("warning", "mask_beside_image", domain, dataset, message)


def _masks_among(domain: Domain) -> dict[str, list[str]]:
    """Names by kind of test images that are called like the mask of another: `000_mask.png`, `000.png`."""
    by_kind: dict[str, list[str]] = {}
    for sample in domain.tests:
        by_kind.setdefault(sample.kind, []).append(os.path.basename(sample.image.path))
    found = {}
    for kind, names in sorted(by_kind.items()):
        stems = {os.path.splitext(n)[0] for n in names} | set(names)
        if masks := [n for n in names if is_marked(n) and stem_of_mask(n) in stems]:
            found[kind] = masks
    return found


def describe_domain(severity: Severity, code: str, domain: Domain, dataset: Dataset, message: str) -> Problem:
    """A problem of a domain as a whole, at the place of its folder."""
    path = f"{dataset.location.rstrip('/')}/{domain.name}"
    return Problem(severity=severity, code=code, domain=domain.name, path=path, message=message)
