"""A domain's log as files: one change to JSON and back, and the newest of a domain's changes.

A file holds `{"format_version", "sha256", "change"}`, the sum being that of the canonical JSON of `change`.
"""

import dataclasses
import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from dgad.errors import SettingsError, StoreError
from dgad.references.domain import FORMAT_VERSION, Change
from dgad.settings import from_dict
from dgad.storage import Storage

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From the `change` of a format version to that of the next."""

_ID = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"[0-9]{8}\.json")
_KEYS = {"made_at": "at", "author": "by", "details": "about"}
"""What fields of a change are called in its file, where not by their own names."""
_FIELDS = {key: name for name, key in _KEYS.items()}
_CHANGE_KEYS = tuple(_KEYS.get(f.name, f.name) for f in dataclasses.fields(Change))
"""Every one is there in every file."""


def is_reference_id(text: str) -> bool:
    """Whether it is 64 lower-case hex digits: only such become part of a path."""
    return bool(_ID.fullmatch(text))


def encode(change: Change) -> bytes:
    """The file of one change."""
    values = {_KEYS.get(f.name, f.name): getattr(change, f.name) for f in dataclasses.fields(change)}
    values["settings"] = dataclasses.asdict(change.settings)
    if change.settings.bit_depth is None:  # an earlier dgad, gone back to, knows no such setting
        del values["settings"]["bit_depth"]
    values["references"] = [dataclasses.asdict(r) for r in change.references]
    values["about"] = dict(change.details)
    text = _canonical(values)
    whole = {"format_version": FORMAT_VERSION, "sha256": _sha256(text), "change": values}
    return json.dumps(whole, allow_nan=False).encode()


def decode(data: bytes, path: str, sequence: int) -> Change:
    """The change in a file; `StoreError` names `path` where it is damaged or of a newer format."""
    try:
        whole = json.loads(data)
        format_version = int(whole["format_version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _damaged_error(path, "it is not a whole change") from None
    check_format(format_version, path)
    values = whole.get("change")
    if _sha256(_canonical(values)) != whole.get("sha256"):
        raise _damaged_error(path, "its checksum differs")
    try:
        for older in range(format_version, FORMAT_VERSION):
            if older not in MIGRATIONS:
                raise ValueError(f"there is no format version {format_version}")
            values = MIGRATIONS[older](values)
        change = _change(values)
    except (SettingsError, TypeError, ValueError) as error:
        raise _damaged_error(path, str(error).rstrip(".")) from None
    if change.sequence != sequence:
        raise _damaged_error(path, f"it says that it is change {change.sequence}")
    return change


def check_format(format_version: int, path: str) -> None:
    """Raise `StoreError` for a format that this dgad does not know."""
    if format_version > FORMAT_VERSION:
        raise StoreError(
            f"{path} has format version {format_version}, newer than {FORMAT_VERSION}, the newest that this"
            " dgad reads: install the dgad that wrote it, or a later one."
        )


def _damaged_error(path: str, reason: str) -> StoreError:
    """What is raised for a change that cannot be read."""
    return StoreError(
        f"{path} is damaged ({reason}): copy it back from a backup. Where there is none, and it is the last"
        " change of this domain, remove it with the service stopped, to go back to the state before. Other"
        " domains are not affected."
    )


def _change(values: Mapping[str, Any]) -> Change:
    missing = [key for key in _CHANGE_KEYS if key not in values]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    change = from_dict(Change, {_FIELDS.get(key, key): value for key, value in values.items()})
    for reference in change.references:
        if not is_reference_id(reference.id):
            raise ValueError(f"{reference.id[:80]!r} is no id")
    return change


def _canonical(values: Any) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Log:
    """The changes of every domain of a store. What was read once is kept: no change is ever altered."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._newest: dict[str, Change] = {}
        self._lock = threading.Lock()

    def newest(self, domain: str) -> Change | None:
        """The last change, also of a deleted domain; None where there never was one.

        Costs one failing read after the first time, which lists the folder.
        """
        change = self._newest.get(domain)
        if change is None:
            sequences = self.sequences(domain)
            if not sequences:
                return None
            change = self.read(domain, sequences[-1])
        while (later := self._find(domain, change.sequence + 1)) is not None:
            change = later
        self._remember(domain, change)
        return change

    def read(self, domain: str, sequence: int) -> Change:
        """One change; `StoreError` where it is missing or damaged."""
        change = self._find(domain, sequence)
        if change is None:
            raise _damaged_error(self._storage.path(_name(domain, sequence)), "it is missing")
        return change

    def all(self, domain: str, after: int = 0) -> tuple[Change, ...]:
        """Every change after the one given, the oldest first."""
        sequences = range(after + 1, max(self.sequences(domain), default=0) + 1)
        return tuple(self._storage.each(lambda s: self.read(domain, s), list(sequences)))

    def append(self, domain: str, change: Change) -> bool:
        """Acknowledge the change; False where another writer has taken its sequence."""
        if not self._storage.create(_name(domain, change.sequence), encode(change)):
            return False
        self._remember(domain, change)
        return True

    def sequences(self, domain: str) -> list[int]:
        """The numbers of the changes there are, ascending."""
        names = (n.rsplit("/", 1)[-1] for n in self._storage.sizes(f"domains/{domain}/changes"))
        return sorted(int(n[:-5]) for n in names if _FILE.fullmatch(n))

    def _remember(self, domain: str, change: Change) -> None:
        with self._lock:  # another thread may have read a later one
            known = self._newest.get(domain)
            if known is None or known.sequence < change.sequence:
                self._newest[domain] = change

    def _find(self, domain: str, sequence: int) -> Change | None:
        name = _name(domain, sequence)
        data = self._storage.read(name)
        return None if data is None else decode(data, self._storage.path(name), sequence)


def _name(domain: str, sequence: int) -> str:
    return f"domains/{domain}/changes/{sequence:08d}.json"
