"""Folders whose files are checked byte by byte when they are read: bundles and saved surfaces.

`manifest.json` holds size and SHA-256 of every other file. The sums find damage and careless edits; they are
no signature: whoever can change a file can change its sum too.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgad.errors import UserError

MANIFEST_FILE = "manifest.json"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SealedFolder:
    """One kind of such a folder; everything raises its `error` for one that is damaged or too new."""

    noun: str
    """How messages name the kind."""
    content_files: tuple[str, ...]
    """What it holds besides the manifest."""
    format_version: int
    """The newest that is read, and the one that is written."""
    error: type[UserError]

    def add_manifest(self, contents: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return the contents with their manifest, to be written as they are."""
        files = {name: _measure(data) for name, data in contents.items()}
        return {
            **contents,
            MANIFEST_FILE: json_bytes({"format_version": self.format_version, "files": files}),
        }

    def read(self, folder: Path) -> dict[str, bytes]:
        """Read every content file once; each equals the manifest, which is there, in name, size and sum."""
        manifest_path = folder / MANIFEST_FILE
        data = manifest_path.read_bytes()
        manifest = self.parse(data, manifest_path)
        self.check_version(manifest, manifest_path)
        files = manifest.get("files")
        # The manifest has no sum of its own, so it must be exactly what would be written.
        is_whole = isinstance(files, dict) and sorted(files) == sorted(self.content_files)
        if not isinstance(files, dict) or not is_whole or json_bytes(manifest) != data:
            raise self.differs(manifest_path)
        contents = {}
        for name in self.content_files:
            path = folder / name
            if not path.is_file():
                raise self.error(f"{path} is missing: copy the whole {self.noun} again.")
            contents[name] = path.read_bytes()
            if files[name] != _measure(contents[name]):
                raise self.differs(path)
        return contents

    def check_version(self, values: Mapping[str, Any], path: Path) -> None:
        """Raise where the format version is none, or newer than this dgad reads."""
        version = values.get("format_version")
        if not isinstance(version, int) or version < 1:
            raise self.differs(path)
        if version > self.format_version:
            raise self.error(
                f"{path} has format version {version}, but this dgad reads up to {self.format_version}:"
                " update dgad."
            )

    def parse(self, data: bytes, path: Path) -> dict[str, Any]:
        """Read a JSON file of the folder as a mapping."""
        try:
            values = json.loads(data)
        except ValueError as error:
            raise self.differs(path) from error
        if not isinstance(values, dict):
            raise self.differs(path)
        return values

    def differs(self, path: Path) -> UserError:
        """Return the error for a file that is not what was written."""
        return self.error(f"{path} differs from what was written: copy the whole {self.noun} again.")


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """Encode a JSON file of the folder, always alike."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _measure(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
