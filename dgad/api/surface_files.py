"""Surfaces on disk: a folder that is checked byte by byte when it is read.

    surface.json           format version, the comparer's identity, how the threshold is made, the references
    enrolled.safetensors   what the method compares with, and the calibration
    manifest.json          size and SHA-256 of both

The sums find damage and careless edits; they are no signature. Nothing in the folder is ever executed.
"""

import dataclasses
from pathlib import Path

import safetensors
from safetensors.torch import load as load_bytes

from dgad.api.enrolled_references import EnrolledReference
from dgad.calibration.threshold import Calibration
from dgad.errors import SettingsError, StoreError
from dgad.files import replace_folder_atomic
from dgad.methods.base import Enrolled
from dgad.references.domain import DomainSettings
from dgad.references.enrolled_encoding import decode_enrolled, encode_enrolled
from dgad.references.enrolled_files import metadata_of
from dgad.sealed_folder import MANIFEST_FILE, SealedFolder, json_bytes
from dgad.settings import from_dict, to_dict

FORMAT_VERSION = 1
DESCRIPTION_FILE = "surface.json"
STATE_FILE = "enrolled.safetensors"
_CONTENT_FILES = (DESCRIPTION_FILE, STATE_FILE)
_FOLDER = SealedFolder(
    noun="surface", content_files=_CONTENT_FILES, format_version=FORMAT_VERSION, error=StoreError
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SurfaceDescription:
    """What `surface.json` says of a saved surface."""

    bundle_id: str
    comparer: str
    """`builtin`, or where the bundle was."""
    settings: DomainSettings
    references: tuple[EnrolledReference, ...]
    format_version: int = FORMAT_VERSION


def write_surface(
    folder: Path, description: SurfaceDescription, enrolled: Enrolled, calibration: Calibration
) -> None:
    """Write a surface's folder, whole or not at all; see `Surface.save`."""
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_free and not (folder / DESCRIPTION_FILE).is_file():
        raise StoreError(f"{folder} exists and is no surface, so it is not replaced: name another folder.")
    ids = [reference.id for reference in description.references]
    contents = {
        DESCRIPTION_FILE: json_bytes(to_dict(description)),
        STATE_FILE: encode_enrolled(enrolled, calibration, ids),
    }
    with replace_folder_atomic(folder) as temporary:
        for name, data in _FOLDER.add_manifest(contents).items():
            (temporary / name).write_bytes(data)


def read_surface(folder: Path) -> tuple[SurfaceDescription, Enrolled, Calibration]:
    """What a surface's folder holds, its tensors on the CPU; see `dgad.load_surface` for what it raises."""
    contents = _checked_contents(folder)
    description = _read_description(contents[DESCRIPTION_FILE], folder / DESCRIPTION_FILE)
    data = contents[STATE_FILE]
    try:
        enrolled, calibration = decode_enrolled(metadata_of(data), load_bytes(data))
    except (safetensors.SafetensorError, SettingsError, ValueError, KeyError, TypeError) as error:
        raise _FOLDER.differs(folder / STATE_FILE) from error
    return description, enrolled, calibration


def _checked_contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, read once, and equal in size and sum to the manifest."""
    path = folder / MANIFEST_FILE
    if not (folder / DESCRIPTION_FILE).is_file() or not path.is_file():
        raise StoreError(
            f"{folder} is no surface: it lacks {DESCRIPTION_FILE} or {MANIFEST_FILE}. Name a folder that"
            " `surface.save` has written."
        )
    return _FOLDER.read(folder)


def _read_description(data: bytes, path: Path) -> SurfaceDescription:
    values = _FOLDER.parse(data, path)
    _FOLDER.check_version(values, path)
    try:
        return from_dict(SurfaceDescription, values)
    except SettingsError as error:
        raise StoreError(f"{path} is damaged: {error}") from error
