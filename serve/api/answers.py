"""What the service answers, as the client hands it out: frozen, typed, read tolerantly.

Fields that a newer service adds are passed over; a field that is missing or of another type is an
`UnexpectedAnswerError`, for then whatever answered is no service of ours, or of another version.
"""

import base64
import binascii
import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from dgad.errors import SettingsError
from dgad.references.domain import DomainSettings, Reference
from dgad.settings import coerce
from serve.engine import backend

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Threshold(backend.Threshold):
    """What decides the verdicts of a domain, with the sentence that people read."""

    sentence: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DomainAnswer:
    """One domain; `threshold` and `recent` are only told of a domain that is asked for by name."""

    name: str
    settings: DomainSettings
    version: int
    sequence: int
    num_references: int
    created_at: str
    updated_at: str
    bundle_id: str
    threshold: Threshold | None = None
    recent: backend.Recent | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReferencesAnswer:
    """The references of a domain's current version."""

    version: int
    references: tuple[Reference, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EnrolmentAnswer:
    """What one enrolment did."""

    domain: str
    version: int
    added: tuple[Reference, ...]
    already_there: tuple[str, ...]
    repeated: bool
    threshold: Threshold
    warnings: tuple[str, ...]
    milliseconds: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class VersionAnswer:
    """One set of references that was current at some time."""

    number: int
    created_at: str
    by: str
    num_references: int
    num_purged: int
    is_current: bool
    references: tuple[str, ...]
    """Ids."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LogEntry:
    """One change of a domain."""

    sequence: int
    action: str
    at: str
    by: str
    version: int
    about: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class VersionsAnswer:
    """A domain's versions and its log."""

    current: int
    versions: tuple[VersionAnswer, ...]
    log: tuple[LogEntry, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ScoreAnswer:
    """The answer for one image."""

    name: str
    score: float
    """Logit or distance; higher is more anomalous."""
    p_value: float | None
    verdict: backend.Verdict
    threshold: Threshold
    levels: tuple[float, ...]
    regions: tuple[backend.Region, ...]
    """Boxes in pixels of the image as it was sent."""
    heatmap: str | None
    """A data URL."""
    version: int
    bundle_id: str
    milliseconds: float

    def heatmap_png(self) -> bytes | None:
        """The bytes of the heatmap, where one was asked for and the method localises."""
        if self.heatmap is None:
            return None
        try:
            return base64.b64decode(self.heatmap.partition(",")[2], validate=True)
        except binascii.Error:
            return None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ScoresAnswer:
    """The answer to one request of scores."""

    domain: str
    version: int
    bundle_id: str
    num_references: int
    milliseconds: float
    results: tuple[ScoreAnswer, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BundleAnswer:
    """What scores."""

    bundle_id: str
    method: str
    title: str
    image_size_px: int
    device: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReadyAnswer:
    """Whether the service scores already."""

    ready: bool
    bundle_id: str | None = None


def read_answer(kind: type[T], value: Any, where: str = "answer") -> T:
    """An instance of the dataclass `kind` from JSON; `SettingsError` where it does not fit."""
    if not isinstance(value, Mapping):
        raise SettingsError(f"`{where}` must be a JSON object, but got {type(value).__name__}.")
    hints = typing.get_type_hints(kind)
    given = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name in value:
            given[field.name] = _read(hints[field.name], value[field.name], f"{where}.{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise SettingsError(f"`{where}` must have `{field.name}`, but it is missing.")
    return kind(**given)


def _read(hint: Any, value: Any, where: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType) and value is not None:
        return _read(next(h for h in inner if h is not types.NoneType), value, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return read_answer(hint, value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_read(inner[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    return coerce(value, hint, where)
