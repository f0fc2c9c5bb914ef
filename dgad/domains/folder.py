"""Folder trees like MVTec AD's, read by listing names only: one reader, a few named variants."""

import dataclasses
import functools
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping

from dgad.domains.base import Dataset, Domain, EncodedImage, Sample
from dgad.domains.decoding import is_image_name, read_file
from dgad.errors import DataError

_SOURCES_FILE = "sources.json"
"""Optional, in a domain's folder: a list of objects with `file` and `source`, the photograph."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TreeVariant:
    """Where one family of data sets keeps what, inside a domain's folder."""

    train_normals: Mapping[str, str]
    """Folder of normal images to the word its samples' ids carry; every folder but the first is optional."""
    test: str
    """Holds one folder per kind."""
    masks: tuple[str, ...]
    """Folders that hold one folder of masks per kind; the first that exists counts."""
    normal_names: tuple[str, ...] = ("good",)
    """What the folder of normal test images may be called; its kind becomes `good`."""
    expects: str
    """The layout in one phrase, for messages."""


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
    train_normals={"train/good": "train", "train/ok": "train"},
    test="test",
    masks=("ground_truth", "masks", "mask", "test/ground_truth"),
    normal_names=("good", "ok"),
    expects="DOMAIN/{train/good or train/ok, test/{good or ok, DEFECT}}, and ground_truth/DEFECT for masks",
)
"""Whatever looks like MVTec's tree."""


def is_domain(folder: str, variant: TreeVariant) -> bool:
    """Whether `folder` has normal training images' folder and a test folder."""
    has_normals = any(os.path.isdir(os.path.join(folder, f)) for f in variant.train_normals)
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
    photographs = _photographs(folder)
    samples: list[Sample] = []
    for relative, word in variant.train_normals.items():
        directory = os.path.join(folder, relative)
        samples += _samples(folder, directory, f"{name}/{word}/good", "train", "good", {}, photographs)
    for directory in subfolders(os.path.join(folder, variant.test)):
        kind = os.path.basename(directory)
        if any(os.path.join(folder, masks) == directory for masks in variant.masks):
            continue
        is_normal = kind in variant.normal_names
        masks_by_stem = {} if is_normal else _masks(folder, kind, variant)
        kind = "good" if is_normal else kind
        prefix = f"{name}/test/{kind}"
        samples += _samples(folder, directory, prefix, "test", kind, masks_by_stem, photographs)
    twice = [i for i, count in Counter(s.id for s in samples).items() if count > 1]
    if twice:
        raise DataError(
            f"{folder} has two normal folders with files of one name ({twice[0]}); rename one of each pair."
        )
    return Domain(name=name, samples=tuple(samples))


def subfolders(folder: str) -> list[str]:
    """Paths of the folders in `folder`, by name, hidden ones left out."""
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [p for n in names if not n.startswith(".") and os.path.isdir(p := os.path.join(folder, n))]


def _is_strictly(folder: str, variant: TreeVariant) -> bool:
    """Whether it is a domain whose folder of normal tests has this variant's name too."""
    first = next(iter(variant.train_normals))
    tests = {os.path.basename(f) for f in subfolders(os.path.join(folder, variant.test))}
    other_normals = set(ANY_TREE.normal_names) - set(variant.normal_names)
    other_masks = set(ANY_TREE.masks) - set(variant.masks)
    return (
        is_domain(folder, variant)
        and os.path.isdir(os.path.join(folder, first))
        and not tests & other_normals
        and not any(os.path.isdir(os.path.join(folder, m)) for m in other_masks)
    )


def _samples(
    folder: str,
    directory: str,
    prefix: str,
    split: str,
    kind: str,
    masks_by_stem: Mapping[str, str],
    photographs: Mapping[str, str],
) -> Iterator[Sample]:
    names = _image_names(directory)
    num_with_stem = Counter(_stem(n) for n in names)
    for name in names:
        # 001.jpg beside 001.png: the ids keep the ending, so that they stay unique.
        stem = _stem(name) if num_with_stem[_stem(name)] == 1 else name
        path = os.path.join(directory, name)
        mask = masks_by_stem.get(_stem(name))
        yield Sample(
            id=f"{prefix}/{stem}",
            domain=os.path.basename(folder),
            split=split,
            kind=kind,
            image=_encoded_file(path),
            mask=_encoded_file(mask) if mask else None,
            photograph=photographs.get(os.path.relpath(path, folder).replace(os.sep, "/")),
        )


def _image_names(directory: str) -> list[str]:
    """Names of the image files in a folder, sorted; none where there is no such folder."""
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    return [n for n in names if is_image_name(n) and os.path.isfile(os.path.join(directory, n))]


def _encoded_file(path: str) -> EncodedImage:
    """A file whose bytes are read when asked for; it travels to other processes."""
    return EncodedImage(path=path, read=functools.partial(read_file, path))


def _masks(folder: str, kind: str, variant: TreeVariant) -> dict[str, str]:
    """Path of the mask by stem of the image: `001_mask.png`, `001.png` and `001.bmp` are all 001's."""
    directory = _mask_folder(folder, kind, variant)
    by_stem: dict[str, str] = {}
    for name in _image_names(directory):
        by_stem.setdefault(_stem(name).removesuffix("_mask"), os.path.join(directory, name))
    return by_stem


def _mask_folder(folder: str, kind: str, variant: TreeVariant) -> str:
    candidates = [os.path.join(folder, masks, kind) for masks in variant.masks]
    return next((c for c in candidates if os.path.isdir(c)), candidates[0])


def _photographs(folder: str) -> dict[str, str]:
    """Photograph by relative file name, from the sidecar; empty without one."""
    path = os.path.join(folder, _SOURCES_FILE)
    if not os.path.isfile(path):
        return {}
    try:
        entries = json.loads(read_file(path))
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); mend or remove it.") from None
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise DataError(f"{path} must hold a list of objects with `file` and `source`; mend or remove it.")
    pairs = ((e.get("file"), e.get("source")) for e in entries)
    return {file: source for file, source in pairs if isinstance(file, str) and isinstance(source, str)}


def _why_not(location: str, variant: TreeVariant) -> str:
    """Why a folder is no data set, with the folder that probably was meant."""
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


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]
