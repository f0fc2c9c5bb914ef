"""Image files as users name them, and the pictures written of each. No torch: commands must start at once."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from dgad.domains.decoding import EXTENSIONS, is_image_name
from dgad.errors import DataError, DataWarning
from dgad.files import MAX_NAME_BYTES, broken_link, check_can_write, shorten_name
from dgad.names import check_utf8

OTHER_PICTURES = frozenset(
    {
        ".heic",
        ".heif",
        ".webp",
        ".avif",
        ".gif",
        ".jp2",
        ".jxl",
        ".jfif",
        ".jpe",
        ".dng",
        ".cr2",
        ".nef",
        ".arw",
    }
)
"""Endings of what phones, cameras and browsers write, and dgad does not read."""


def expand_image_paths(paths: Sequence[str]) -> tuple[str, ...]:
    """Files as given and, for a folder, the image files in it by name; `DataError` when there are none."""
    found: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            listed = [os.path.join(path, n) for n in sorted(os.listdir(path)) if is_image_name(n)]
            for each in listed:
                _check_link(each)
            inside = [p for p in listed if os.path.isfile(p)]
            _tell_of_other_pictures(path)
            if not inside:
                raise DataError(
                    f"The folder {path} holds no image; expected files ending in {', '.join(EXTENSIONS)}."
                )
            found.extend(inside)
        elif os.path.isfile(path):
            found.append(path)
        else:
            _check_link(path)
            raise DataError(f"No image file or folder {path}; check the path.")
    check_utf8(found)
    return tuple(found)


def overlay_paths(paths: tuple[str, ...], folder: str) -> tuple[Path, ...]:
    """Where each image's overlay goes; images of equal names get their folder's name in front.

    A name that would be too long for a file is cut, and ends in a digest of the whole.
    """
    check_can_write(folder)
    stems = [Path(p).stem for p in paths]
    names = [
        stem if stems.count(stem) == 1 else f"{Path(path).absolute().parent.name}_{stem}"
        for stem, path in zip(stems, paths, strict=True)
    ]
    if len(set(names)) < len(names):
        names = [f"{i:04d}_{name}" for i, name in enumerate(names)]
    max_bytes = MAX_NAME_BYTES - len(".png")
    overlays = tuple(Path(folder) / f"{shorten_name(name, max_bytes)}.png" for name in names)
    for overlay in overlays:
        if overlay.is_dir():
            raise DataError(f"The overlay {overlay} cannot be written, because a folder has its name.")
    return overlays


def _tell_of_other_pictures(folder: str) -> None:
    """Warn of photographs in formats that are not read: who named the folder meant them too."""
    others = [n for n in sorted(os.listdir(folder)) if os.path.splitext(n)[1].casefold() in OTHER_PICTURES]
    others = [n for n in others if not n.startswith(".")]
    if others:
        warnings.warn(
            f"{len(others)} of the files in {folder} are passed over, such as {others[0]}: convert them to"
            f" one of {', '.join(EXTENSIONS)}.",
            DataWarning,
            stacklevel=3,
        )


def _check_link(path: str) -> None:
    if (message := broken_link(path)) is not None:
        raise DataError(f"{path} {message}.")
