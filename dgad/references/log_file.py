"""One change of a domain's log as a file: to JSON and back, and without what was purged.

A file holds `{"format_version", "sha256", "change"}`, the sum being that of the canonical JSON of `change`.
Its `references` are the list of all or, since format version 2, what differs from the change before:
`{"since", "gone", "put"}`, `since` being the last change before with a list.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from dgad.errors import SettingsError, StoreError
from dgad.references.domain import Change, Reference
from dgad.settings import from_dict

FORMAT_VERSION = 2
"""The newest that is read. What lists every reference is written as version 1: an earlier dgad, of which a
roll-out has some replicas for a while, reads the last change of a domain."""
_LISTING_VERSION = 1
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: lambda values: values}
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


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What one file says."""

    change: Change
    """Its references are those that are new or altered, where it says what differs."""
    since: int | None = None
    """None: it lists every reference. Else the last change before that does."""
    gone: frozenset[str] = frozenset()

    def make_change(self, before: Sequence[Reference]) -> Change:
        """Give the whole change; `before`: the references after the change before."""
        if self.since is None:
            return self.change
        references = _apply(before, self.gone, self.change.references)
        return dataclasses.replace(self.change, references=references)


def encode(change: Change) -> bytes:
    """The file of one change, with every reference."""
    return _sign(_values(change))


def encode_difference(change: Change, before: Sequence[Reference], since: int) -> bytes | None:
    """The file of a change that says what differs from the references before; None where that says less."""
    known = {r.id: r for r in before}
    gone = frozenset(known) - {r.id for r in change.references}
    put = tuple(r for r in change.references if known.get(r.id) != r)
    if _apply(before, gone, put) != change.references:  # another order
        return None
    values = _values(dataclasses.replace(change, references=put))
    values["references"] = {"since": since, "gone": sorted(gone), "put": values["references"]}
    return _sign(values)


def decode(data: bytes, path: str, sequence: int) -> Entry:
    """What a file says; `StoreError` names `path` where it is damaged or of a newer format."""
    values = _open(data, path)
    try:
        entry = _entry(values)
    except (SettingsError, TypeError, ValueError, KeyError) as error:
        raise damaged_error(path, str(error).rstrip(".")) from None
    if entry.change.sequence != sequence:
        raise damaged_error(path, f"it says that it is change {entry.change.sequence}")
    return entry


def redact(data: bytes, path: str, ids: Collection[str], details: Mapping[str, Any]) -> bytes | None:
    """The file without the names and digests of these photographs, `details` added; None: it stays as it is.

    What is made of a digest goes too: near duplicates of it, and the sum over a request that brought it.
    """
    values = _open(data, path)
    text = _canonical(values)
    about = dict(values["about"])
    lists = {k: [i for i in v if i not in ids] for k, v in about.items() if isinstance(v, list)}
    if any(len(v) < len(about[k]) for k, v in lists.items()):
        about.pop("body", None)
    if not lists.get("purged", [""]):
        del about["purged"], lists["purged"]
    values["about"] = {**about, **lists, **details}
    references = values["references"]
    if isinstance(references, dict):
        gone = [i for i in references["gone"] if i not in ids]
        values["references"] = {**references, "gone": gone, "put": _redact_list(references["put"], ids)}
    else:
        values["references"] = _redact_list(references, ids)
    return None if _canonical(values) == text else _sign(values)


def check_format(format_version: int, path: str, newest: int) -> None:
    """Raise `StoreError` for a format that this dgad does not know."""
    if format_version > newest:
        raise StoreError(
            f"{path} has format version {format_version}, newer than {newest}, the newest that this"
            " dgad reads: install the dgad that wrote it, or a later one."
        )


def damaged_error(path: str, reason: str) -> StoreError:
    """What is raised for a change that cannot be read."""
    return StoreError(
        f"{path} is damaged ({reason}): copy it back from a backup. Where there is none, and it is the last"
        " change of this domain, remove it with the service stopped, to go back to the state before. Other"
        " domains are not affected."
    )


def _open(data: bytes, path: str) -> dict[str, Any]:
    """The `change` of a file as the newest format has it."""
    try:
        whole = json.loads(data)
        format_version = int(whole["format_version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise damaged_error(path, "it is not a whole change") from None
    check_format(format_version, path, FORMAT_VERSION)
    values = whole.get("change")
    if _sha256(_canonical(values)) != whole.get("sha256"):
        raise damaged_error(path, "its checksum differs")
    for older in range(format_version, FORMAT_VERSION):
        if older not in MIGRATIONS:
            raise damaged_error(path, f"there is no format version {format_version}")
        values = MIGRATIONS[older](values)
    if not isinstance(values, dict):
        raise damaged_error(path, "it holds no change")
    return values


def _values(change: Change) -> dict[str, Any]:
    values = {_KEYS.get(f.name, f.name): getattr(change, f.name) for f in dataclasses.fields(change)}
    values["settings"] = dataclasses.asdict(change.settings)
    for name in ("bit_depth", "scale", "region"):  # an earlier dgad, gone back to, knows no such settings
        if values["settings"][name] is None:
            del values["settings"][name]
    values["references"] = [dataclasses.asdict(r) for r in change.references]
    values["about"] = dict(change.details)
    return values


def _sign(values: Mapping[str, Any]) -> bytes:
    version = FORMAT_VERSION if isinstance(values["references"], dict) else _LISTING_VERSION
    whole = {"format_version": version, "sha256": _sha256(_canonical(values)), "change": values}
    return json.dumps(whole, allow_nan=False).encode()


def _entry(values: dict[str, Any]) -> Entry:
    kept = values.get("references")
    if not isinstance(kept, dict):
        return Entry(change=_change(values))
    since, gone, put = kept["since"], kept["gone"], kept["put"]
    if not isinstance(since, int) or not isinstance(gone, list):
        raise ValueError("its references are neither a list nor what differs from one")
    return Entry(change=_change({**values, "references": put}), since=since, gone=frozenset(map(str, gone)))


def _apply(
    before: Sequence[Reference], gone: Collection[str], put: Sequence[Reference]
) -> tuple[Reference, ...]:
    """Put an altered reference in the place of the old one, and a new one at the end."""
    new = {r.id: r for r in put}
    left = [new.pop(r.id, r) for r in before if r.id not in gone]
    return (*left, *new.values())


def _redact_list(references: Sequence[Any], ids: Collection[str]) -> list[Any]:
    return [
        {**r, "near_duplicate_of": None} if r["near_duplicate_of"] in ids else r
        for r in references
        if r["id"] not in ids
    ]


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
