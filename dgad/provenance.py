"""When something was made, with which versions and by which code: what stored results say of themselves."""

import datetime
import functools
import hashlib
import importlib.metadata
import platform
from pathlib import Path

_NOT_DECIDING = (
    "__init__.py",
    "api",
    "bundle.py",
    "cli.py",
    "command_line.py",
    "commands",
    "model_card.py",
    "names.py",
    "pretraining",
    "processes.py",
    "provenance.py",
    "records",
    "references",
    "report",
    "sealed_folder.py",
    "user_dirs.py",
)
"""The parts of `dgad` whose code decides no fit and no score; what is new decides until it is named here."""


def utc_now() -> str:
    """Give the current time in UTC to the second, ISO 8601: `2026-01-31T12:00:00+00:00`."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def current_versions() -> dict[str, str]:
    """Give the installed versions of python, dgad, torch and timm, by name; imports none of them."""
    return dict(_look_up_versions())


@functools.cache  # the look-up takes longer than the rest of a record
def _look_up_versions() -> tuple[tuple[str, str], ...]:
    installed = ((name, importlib.metadata.version(name)) for name in ("dgad", "torch", "timm"))
    return ("python", platform.python_version()), *installed


def digest_deciding_code() -> str:
    """Give 64 hex digits of SHA-256 over the code of `dgad` that decides fits, scores and calibrations."""
    return _digest_of(Path(__file__).parent)


@functools.cache  # some 150 files, and a service asks for every request
def _digest_of(package: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        relative = file.relative_to(package)
        if relative.parts[0] not in _NOT_DECIDING:
            digest.update(str(relative).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
