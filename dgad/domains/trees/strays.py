"""What lies in a folder tree but is no part of its data set: ignored files, orphan masks, near-domains."""

import os
from collections import Counter
from collections.abc import Iterator

from dgad.domains.base import Domain
from dgad.domains.decoding import EXTENSIONS, is_image_name
from dgad.domains.domain_file import DOMAIN_FILE, REGION_FILE
from dgad.domains.image_paths import OTHER_PICTURES
from dgad.domains.problems import Problem, Severity
from dgad.domains.trees.folder import TreeVariant, is_domain, read_domain, subfolders
from dgad.domains.trees.sources import SOURCES_FILE
from dgad.files import broken_link

_SIDECARS = (SOURCES_FILE, DOMAIN_FILE, REGION_FILE)


def find_strays(location: str, variant: TreeVariant) -> tuple[Problem, ...]:
    """Problems of the tree itself, found by listing names only."""
    problems: list[Problem] = []
    for name in sorted(os.listdir(location)) if os.path.isdir(location) else []:
        path = os.path.join(location, name)
        if not name.startswith(".") and (message := broken_link(path)) is not None:
            problems.append(_of(name, "fatal", "broken_link", path, message))
        elif name.casefold() in _SIDECARS and os.path.isfile(path):
            message = "is not read, because it describes one domain; put it in that domain's folder"
            problems.append(_of(name, "warning", "unread_sidecar", path, message))
    for folder in subfolders(location):
        if is_domain(folder, variant):
            problems += _strays_of(folder, read_domain(folder, variant), variant)
        else:
            problems += _near_domain(folder, variant)
    return tuple(problems)


def _near_domain(folder: str, variant: TreeVariant) -> Iterator[Problem]:
    """What is wrong with a folder that is no domain, where it looks like one or holds images."""
    name = os.path.basename(folder)
    parts = {os.path.basename(p).casefold() for p in subfolders(folder)}
    if {variant.test.casefold(), "train"} & parts:
        message = f"is left out, because a domain needs {variant.expects}{_misspelt(folder, variant)}"
        yield _of(name, "fatal", "incomplete_domain", folder, message)
    else:
        num_images = sum(is_image_name(n) for _, _, names in os.walk(folder) for n in names)
        if num_images:
            message = f"holds {num_images} images but is no domain; expected {variant.expects}"
            yield _of(name, "warning", "images_left_out", folder, message)
    for parent, _, names in os.walk(folder):
        for path in (os.path.join(parent, n) for n in sorted(names)):
            if (broken := broken_link(path)) is not None:
                yield _of(name, "fatal", "broken_link", path, broken)


def _misspelt(folder: str, variant: TreeVariant) -> str:
    """Which folders have the right name in another case, as the end of a message."""
    found = [os.path.basename(p) for p in subfolders(folder)]
    pairs = [(n, w) for n in found for w in ("train", variant.test) if n != w and n.casefold() == w]
    return "".join(f"; rename `{name}` to `{wanted}`" for name, wanted in pairs)


def _strays_of(folder: str, domain: Domain, variant: TreeVariant) -> Iterator[Problem]:
    told = {file.path for s in domain.samples for file in (s.image, s.mask) if file}
    told |= {p.path for p in domain.problems}
    mask_roots = tuple(os.path.join(folder, m) + os.sep for m in variant.masks)
    unread: Counter[str] = Counter()
    for parent, directories, names in os.walk(folder):
        directories[:] = sorted(d for d in directories if not d.startswith("."))
        for name in sorted(names):
            path = os.path.join(parent, name)
            if path in told or path == os.path.join(folder, REGION_FILE):
                continue
            if (broken := broken_link(path)) is not None:
                yield _of(domain.name, "warning", "broken_link", path, broken)
            elif not is_image_name(name):
                sidecar = os.path.join(folder, name.casefold())  # which a disk that ignores case has as well
                if parent == folder and name.casefold() in _SIDECARS and not os.path.exists(sidecar):
                    message = f"is not read; call it {name.casefold()}"
                    yield _of(domain.name, "warning", "unread_sidecar", path, message)
                elif os.path.splitext(name)[1].lower() in OTHER_PICTURES:
                    message = "is a photograph of a kind that is not read; save it as PNG or JPEG"
                    yield _of(domain.name, "warning", "unread_photograph", path, message)
                elif parent != folder:  # licences, notes and sources.json lie in the domain's own folder
                    message = f"is ignored; images end in {', '.join(EXTENSIONS)}"
                    yield _of(domain.name, "note", "ignored_file", path, message)
            elif path.startswith(mask_roots):
                yield _of(domain.name, "warning", "mask_without_image", path, "is a mask without an image")
            else:
                unread[parent] += 1
    for parent, count in sorted(unread.items()):
        message = f"holds {count} images that are no part of the data set; expected {variant.expects}"
        yield _of(domain.name, "warning", "images_left_out", parent, message)


def _of(domain: str, severity: Severity, code: str, path: str, message: str) -> Problem:
    return Problem(severity=severity, code=code, domain=domain, path=path, message=message)
