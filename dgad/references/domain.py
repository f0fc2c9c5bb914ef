"""What a store knows of a domain: its settings, its references, its versions, and what was done to it."""

import dataclasses
import functools
import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from dgad.calibration.threshold import CalibrationScheme
from dgad.domains.geometry import parse_scale
from dgad.domains.region import RegionOfInterest
from dgad.domains.wide_values import WideRange, check_bit_depth
from dgad.errors import SettingsError
from dgad.settings import require

FORMAT_VERSION = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

Action = Literal["create", "settings", "region", "enroll", "remove", "purge", "rollback", "delete"]


@functools.lru_cache(maxsize=64)  # every batch of queries asks, and drawing a region takes milliseconds
def _read_region(text: str) -> RegionOfInterest:
    return RegionOfInterest.from_json(json.loads(text))


def check_domain_name(name: str) -> None:
    """Raise `SettingsError` unless the name is `[a-z0-9][a-z0-9_-]{0,63}`: it becomes part of paths."""
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"A domain's name must be 1 to 64 of a-z, 0-9, _ and -, and begin with a letter or digit, but got"
            f" {name[:80]!r}."
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DomainSettings:
    """How a domain's images are read and its threshold made, and how many references are compared with."""

    false_alarm_rate: float | None = None
    """Wanted share of normal images above the threshold, 0 to 1; None: the lowest that the calibration
    supports, though not below `LOWEST_DEFAULT_RATE`."""
    calibration: CalibrationScheme = "leave_one_out"
    """`split` keeps half of the references back, never to be compared with: then the guarantee is exact."""
    coreset: int | None = None
    """Compare with at most this many references, chosen to cover the others; None: with all."""
    note: str = ""
    """Shown with the domain; at most 500 characters."""
    bit_depth: int | None = None
    """Of values in files of more than 8 bits a channel, 8 to 32; None: their type's full range."""
    scale: str | None = None
    """At which its photographs are looked at, as `Geometry.scale`; None: at the bundle's."""
    region: Mapping[str, Any] | None = None
    """The region of interest as `RegionOfInterest.to_json` has it; None: all of every photograph counts."""

    def __post_init__(self) -> None:
        rate = self.false_alarm_rate
        require(rate is None or 0 < rate < 1, "false_alarm_rate", "above 0 and below 1, or null", rate)
        require(self.coreset is None or self.coreset >= 2, "coreset", "at least 2, or null", self.coreset)
        check_bit_depth(self.bit_depth)
        if self.scale is not None:
            parse_scale(self.scale)
        if self.region is not None:
            _read_region(json.dumps(self.region))  # refused here if it is none
        require(len(self.note) <= 500, "note", "at most 500 characters", self.note[:40] + "...")

    @property
    def region_of_interest(self) -> RegionOfInterest | None:
        """Outside of which nothing is scored or enrolled."""
        return None if self.region is None else _read_region(json.dumps(self.region))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A photograph of a normal part that is enrolled in a domain."""

    id: str
    """64 hex digits: SHA-256 of the file's bytes, so that one photograph is enrolled once."""
    name: str
    """As the user called the file; for people only, never part of a path."""
    num_bytes: int
    width_px: int
    height_px: int
    added_at: str
    """UTC, ISO 8601."""
    near_duplicate_of: str | None = None
    """Id of an earlier reference that it is nearly equal to: such make a threshold too tight."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One entry of a domain's log, self-contained: the last one says all that scoring needs."""

    sequence: int
    """1, 2, ...; never used twice, not even by a domain that was deleted and made again."""
    action: Action
    made_at: str
    """UTC, ISO 8601."""
    author: str
    """Name of the API key, or of the operating system's user: who did it."""
    settings: DomainSettings
    version: int
    """The current one after this change; 0 before anything is enrolled. A new set of references is a new
    version, a rollback goes back to an old one; numbers are never used twice."""
    references: tuple[Reference, ...]
    """Of the current version, in the order of enrolment."""
    is_deleted: bool = False
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What the action has beside them: ids added, removed or, until the log is rid of them, purged, from how
    many references of which versions they were purged, the version left by a rollback, the request's
    idempotency key (hashed) and the hash of its body."""

    @property
    def created_at(self) -> str:
        """When the domain was made, or made again; UTC, ISO 8601."""
        return str(self.details["created_at"])


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One set of references that was current at some time."""

    number: int
    created_at: str
    author: str
    references: tuple[Reference, ...]
    """Without those that were purged since."""
    region: Mapping[str, Any] | None
    """The region of interest that it was made with, as JSON; None: all of every photograph."""
    num_purged: int
    is_current: bool


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """One photograph to enrol, whose bytes have been decoded once."""

    name: str
    data: bytes
    width_px: int
    height_px: int
    fingerprint: bytes = b""
    """Small grey thumbnail for finding near duplicates (`dgad.references.duplicates`)."""
    wide: WideRange | None = None
    """How much of more than 8 bits a channel it uses; None where it has no more."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Enrolment:
    """What one enrolment did: the version after it, and which photographs were new."""

    version: int
    """Current after it; unchanged where every photograph was there already."""
    sequence: int
    added: tuple[Reference, ...]
    already_there: tuple[str, ...]
    """Ids that were among the references before."""
    is_repeated: bool = False
    """The same request (idempotency key) had been carried out before; nothing was done now."""
