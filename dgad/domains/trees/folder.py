"""Folder trees like MVTec AD's, read by listing names only: one reader, a few named variants."""

import dataclasses
import functools
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from dgad.domains.base import Dataset, Domain, EncodedImage, Sample, declare
from dgad.domains.decoding import is_image_name, read_file
from dgad.domains.domain_file import read_domain_file
from dgad.domains.normal_names import NORMAL_NAMES, is_normal_name
from dgad.domains.problems import Problem
from dgad.domains.trees.masks import match_masks
from dgad.domains.trees.sources import read_sources
from dgad.errors import DataError
from dgad.files import broken_link
from dgad.names import check_utf8


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TreeVariant:
    """Where one family of data sets keeps what, inside a domain's folder."""

    train_normals: Mapping[str, str]
    """Folder of normal images to the word its samples' ids carry; every folder but the first is optional.

    The last part of a folder may be any name for normal images: `train/good` is found as `train/OK` too.
    """
    test: str
    """Holds one folder per kind."""
    masks: tuple[str, ...]
    """Folders that hold one folder of masks per kind; the first that exists counts."""
    normal_names: tuple[str, ...] = ("good",)
    """What this family calls folders of normal images; those of `NORMAL_NAMES` are read as well."""
    expects: str
    """The layout in one phrase, for messages."""

    def is_normal(self, name: str) -> bool:
        """Whether a folder of this name holds normal images."""
        return is_normal_name(name) or name.casefold() in {n.casefold() for n in self.normal_names}


MVTEC = TreeVariant(
    train_normals={"train/good": "train"},
    test="test",
    masks=("ground_truth",),
    expects="DOMAIN/{train/good, test/{good,DEFECT}, ground_truth/DEFECT}",
)
"""MVTec AD, VisA's one-class split and DTD-Synthetic: masks are `NNN_mask.png` or `NNN.png`."""

MVTEC_AD_2 = TreeVariant(
    train_normals={"train/good": "train", "validation/good": "validation"},
    test="test_public",
    masks=("test_public/ground_truth",),
    expects="DOMAIN/{train/good, validation/good, test_public/{good,bad,ground_truth/bad}}",
)
"""MVTec AD 2; its private tests have no labels and are left out."""

ANY_TREE = TreeVariant(
    train_normals={"train/good": "train"},
    test="test",
    masks=("ground_truth", "masks", "mask", "test/ground_truth"),
    normal_names=NORMAL_NAMES,
    expects=f"DOMAIN/{{train/good, test/{{good,DEFECT}}}} (good may be {', '.join(NORMAL_NAMES[1:])}, in any"
    " case), and ground_truth/DEFECT for masks",
)
"""Whatever looks like MVTec's tree."""


def is_domain(folder: str, variant: TreeVariant) -> bool:
    """Whether `folder` has normal training images' folder and a test folder."""
    has_normals = any(_normal_folders(folder, f, variant) for f in variant.train_normals)
    return has_normals and os.path.isdir(os.path.join(folder, variant.test))


def recognise_tree(location: str, variant: TreeVariant) -> bool:
    """Whether every domain that the tree at `location` has is strictly of this variant."""
    loose = [f for f in subfolders(location) if is_domain(f, ANY_TREE) or is_domain(f, variant)]
    return bool(loose) and all(_is_strictly(f, variant) for f in loose)


def open_tree(location: str, variant: TreeVariant, layout: str) -> Dataset:
    """Every domain of the tree; `DataError` says what was expected where there is none."""
    domains = [read_domain(f, variant) for f in subfolders(location) if is_domain(f, variant)]
    if not domains:
        raise DataError(_why_not(location, variant))
    return Dataset(location=location, domains={d.name: d for d in domains}, layout=layout)


def read_domain(folder: str, variant: TreeVariant) -> Domain:
    """One domain by listing its folders; nothing is decoded."""
    name = os.path.basename(folder)
    samples: list[Sample] = []
    problems = list(_broken_folders(folder, variant))
    for relative, word in variant.train_normals.items():
        directories = _normal_folders(folder, relative, variant)
        samples += _samples(folder, directories, f"{name}/{word}/good", "train", "good", {}, problems)
    for kind, directories in _test_folders(folder, variant).items():
        masks = {} if kind == "good" else _masks(folder, directories[0], variant, problems)
        samples += _samples(folder, directories, f"{name}/test/{kind}", "test", kind, masks, problems)
    check_utf8(file.path for s in samples for file in (s.image, s.mask) if file)
    by_file = {os.path.relpath(s.image.path, folder).replace(os.sep, "/"): s for s in samples}
    photographs, wrong = read_sources(folder, by_file)
    facts, wrong_facts = read_domain_file(folder)
    domain = Domain(
        name=name,
        samples=tuple(dataclasses.replace(s, photograph=photographs.get(f)) for f, s in by_file.items()),
        problems=(*problems, *wrong, *wrong_facts),
    )
    return declare(domain, bit_depth=facts.bit_depth, scale=facts.scale, region=facts.region)


def subfolders(folder: str) -> list[str]:
    """Paths of the folders in `folder`, by name, hidden ones left out."""
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [
        p for n in names if not n.startswith(".") and _has_mode(p := os.path.join(folder, n), stat.S_ISDIR)
    ]


def _normal_folders(folder: str, relative: str, variant: TreeVariant) -> list[str]:
    """The folders beside (and including) `relative` in a domain's folder whose names mean normal images."""
    parent, last = os.path.split(os.path.join(folder, relative))
    found = [f for f in subfolders(parent) if variant.is_normal(os.path.basename(f))]
    own = os.path.join(parent, last)
    # On a disk that ignores case the folder is there by its own name too, whatever it is listed as.
    is_listed = any(os.path.samefile(own, f) for f in found) if os.path.isdir(own) else True
    return found if is_listed else [own, *found]


def _test_folders(folder: str, variant: TreeVariant) -> dict[str, list[str]]:
    """Folders of test images by kind; all that mean normal images are `good` together."""
    by_kind: dict[str, list[str]] = {}
    masks = {os.path.join(folder, m) for m in variant.masks}
    for directory in subfolders(os.path.join(folder, variant.test)):
        if directory not in masks:
            name = os.path.basename(directory)
            by_kind.setdefault("good" if variant.is_normal(name) else name, []).append(directory)
    return by_kind


def _is_strictly(folder: str, variant: TreeVariant) -> bool:
    """Whether it is a domain whose folders of normal images have this variant's names too."""
    first = next(iter(variant.train_normals))
    tests = _test_folders(folder, variant).get("good", ())
    trains = {f for relative in variant.train_normals for f in _normal_folders(folder, relative, variant)}
    other_masks = set(ANY_TREE.masks) - set(variant.masks)
    return (
        is_domain(folder, variant)
        and os.path.isdir(os.path.join(folder, first))
        and all(os.path.basename(f) in variant.normal_names for f in tests)
        and trains <= {os.path.join(folder, f) for f in variant.train_normals}
        and not any(os.path.isdir(os.path.join(folder, m)) for m in other_masks)
    )


def _broken_folders(folder: str, variant: TreeVariant) -> Iterator[Problem]:
    """Links to folders of images that lead nowhere: those images would be missing without a word."""
    parents = {os.path.dirname(f) for f in variant.train_normals} | {variant.test, *variant.masks}
    for parent in sorted({os.path.join(folder, p).rstrip(os.sep) for p in parents}):
        names = sorted(os.listdir(parent)) if os.path.isdir(parent) else []
        for path in (os.path.join(parent, n) for n in names if not n.startswith(".")):
            if (message := broken_link(path)) is not None:
                yield _fatal("broken_link", os.path.basename(folder), path, message)


def _samples(
    folder: str,
    directories: Sequence[str],
    prefix: str,
    split: str,
    kind: str,
    masks: Mapping[str, str],
    problems: list[Problem],
) -> Iterator[Sample]:
    domain = os.path.basename(folder)
    paths = [os.path.join(d, n) for d in directories for n in _image_names(d, domain, problems)]
    num_with_stem = Counter(_stem(p) for p in paths)
    first: dict[str, str] = {}
    for path in paths:
        name = os.path.basename(path)
        # 001.jpg beside 001.png: the ids keep the ending, so that they stay unique.
        stem = _stem(path) if num_with_stem[_stem(path)] == 1 else name
        if first.setdefault(stem, path) != path:
            message = f"has the name of {first[stem]}, and both are normal images; rename one"
            problems.append(_fatal("two_of_one_name", domain, path, message))
            continue
        mask = masks.get(name)
        yield Sample(
            id=f"{prefix}/{stem}",
            domain=domain,
            split=split,
            kind=kind,
            image=_encoded_file(path),
            mask=_encoded_file(mask) if mask else None,
        )


def _image_names(directory: str, domain: str, problems: list[Problem]) -> list[str]:
    """Names of the image files in a folder, sorted; a link that leads nowhere becomes a problem."""
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    found = []
    for name in filter(is_image_name, names):
        path = os.path.join(directory, name)
        if (message := broken_link(path)) is not None:
            problems.append(_fatal("broken_link", domain, path, message))
        elif _has_mode(path, stat.S_ISREG):
            found.append(name)
    return found


def _has_mode(path: str, is_of_kind: Callable[[int], bool]) -> bool:
    """Whether a listed path is a file, or a folder; `os.path` says no too where it is not allowed to look."""
    try:
        return is_of_kind(os.stat(path).st_mode)
    except PermissionError:
        raise
    except OSError:
        return False


def _encoded_file(path: str) -> EncodedImage:
    """A file whose bytes are read when asked for; it travels to other processes."""
    return EncodedImage(path=path, read=functools.partial(read_file, path))


def _masks(folder: str, images: str, variant: TreeVariant, problems: list[Problem]) -> Mapping[str, str]:
    """Path of the mask by name of the image, of the kind whose images lie in the folder `images`."""
    domain, kind = os.path.basename(folder), os.path.basename(images)
    candidates = [os.path.join(folder, masks, kind) for masks in variant.masks]
    directory = next((c for c in candidates if os.path.isdir(c)), candidates[0])
    masks = _image_names(directory, domain, problems)
    by_image, unclear = match_masks(domain, _image_names(images, domain, []), directory, masks)
    problems += unclear
    return {image: os.path.join(directory, mask) for image, mask in by_image.items()}


def _fatal(code: str, domain: str, path: str, message: str) -> Problem:
    return Problem(severity="fatal", code=code, domain=domain, path=path, message=message)


def _why_not(location: str, variant: TreeVariant) -> str:
    """Why a folder is no data set, with the folder that probably was meant."""
    if (broken := broken_link(location)) is not None:
        return f"{location} {broken}."
    if not os.path.isdir(location):
        return f"There is no folder {location}; check the path."
    full = os.path.abspath(location)
    for candidate in (variant, ANY_TREE):
        if is_domain(location, candidate):
            return (
                f"{location} is one single domain, but a data set is a folder of domains;"
                f" give its parent {os.path.dirname(full)} instead."
            )
    deeper = [f for f in subfolders(location) if any(is_domain(g, ANY_TREE) for g in subfolders(f))]
    if deeper:
        return f"{location} is no data set, but {deeper[0]} in it is; give that instead."
    return f"{location} is no data set: expected {variant.expects}, or packed Parquet files."


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]
