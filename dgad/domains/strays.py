"""What lies in a folder tree but is no part of its data set: ignored files, orphan masks, near-domains."""

import os
from collections import Counter
from collections.abc import Iterator

from dgad.domains.base import Domain
from dgad.domains.decoding import EXTENSIONS, is_image_name
from dgad.domains.folder import TreeVariant, is_domain, read_domain, subfolders
from dgad.domains.problems import Problem, Severity


def find_strays(location: str, variant: TreeVariant) -> tuple[Problem, ...]:
    """Problems of the tree itself, found by listing names only."""
    problems: list[Problem] = []
    for folder in subfolders(location):
        if is_domain(folder, variant):
            problems += _strays_of(folder, read_domain(folder, variant), variant)
        elif any(os.path.isdir(os.path.join(folder, part)) for part in (variant.test, "train")):
            problems.append(
                Problem(
                    severity="fatal",
                    code="incomplete_domain",
                    domain=os.path.basename(folder),
                    path=folder,
                    message=f"is left out, because a domain needs {variant.expects}",
                )
            )
    return tuple(problems)


def _strays_of(folder: str, domain: Domain, variant: TreeVariant) -> Iterator[Problem]:
    used = {file.path for s in domain.samples for file in (s.image, s.mask) if file}
    mask_roots = tuple(os.path.join(folder, m) + os.sep for m in variant.masks)
    unread: Counter[str] = Counter()
    for parent, directories, names in os.walk(folder):
        directories[:] = sorted(d for d in directories if not d.startswith("."))
        for name in sorted(names):
            path = os.path.join(parent, name)
            if path in used:
                continue
            if not is_image_name(name):
                if parent != folder:  # licences, notes and sources.json lie in the domain's own folder
                    message = f"is ignored; images end in {', '.join(EXTENSIONS)}"
                    yield _of(domain, "note", "ignored_file", path, message)
            elif path.startswith(mask_roots):
                yield _of(domain, "warning", "mask_without_image", path, "is a mask without an image")
            else:
                unread[parent] += 1
    for parent, count in sorted(unread.items()):
        message = f"holds {count} images that are no part of the data set; expected {variant.expects}"
        yield _of(domain, "warning", "images_left_out", parent, message)


def _of(domain: Domain, severity: Severity, code: str, path: str, message: str) -> Problem:
    return Problem(severity=severity, code=code, domain=domain.name, path=path, message=message)
