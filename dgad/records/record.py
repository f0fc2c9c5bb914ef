"""A record: the outcome of one fit on one domain, and the key that says which fit it was."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from dgad.errors import RecordError
from dgad.evaluation.metrics import Metrics
from dgad.provenance import current_versions, utc_now

FORMAT_VERSION = 2
"""The version that this code writes, and the only one that it reads."""
_ROLES = ("inner", "outer", "deploy", "evaluate")
_STATUSES = ("ok", "failed")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FitKey:
    """What decides a fit, and nothing else: equal keys are one fit, never computed twice."""

    method: str
    """Registry name, without preset."""
    settings: Mapping[str, Any]
    """Complete settings (`to_dict` of the settings class), so that a preset and its copy are equal."""
    features: Mapping[str, Any]
    sources: tuple[str, ...]
    data_fingerprint: str
    """Of the whole data set: a record's target is among it."""
    seed: int
    code_version: str
    split: str = "all"
    """`all`: trained on every image of the sources; `half`: half of their test images were kept back, and a
    record of such a fit on one of its sources is scored on those (`source-validation`)."""

    def __post_init__(self) -> None:
        # As they come back from a file: tuples are lists, order does not matter.
        object.__setattr__(self, "settings", json.loads(canonical_json(self.settings)))
        object.__setattr__(self, "features", json.loads(canonical_json(self.features)))
        object.__setattr__(self, "sources", tuple(sorted(self.sources)))

    @property
    def id(self) -> str:
        """32 hex digits of SHA-256 over the canonical JSON of every field."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        if self.split == "all":
            del values["split"]  # older than the field: fits of every image keep their ids
        return _short_hash(values)


def record_id_for(fit: FitKey, target: str, num_references: int) -> str:
    """The id a record of `fit` on `target` has, known before anything is computed."""
    return _short_hash({"fit": fit.id, "target": target, "num_references": num_references})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One fit scored on one domain, or how that failed; its id is `record_id`."""

    fit: FitKey
    label: str
    """The variant as tables print it: `comparer`, `comparer:untrained`, `patch_knn`."""
    role: str
    """`inner`, `outer`, `deploy` or `evaluate`: what it was first computed for."""
    target: str
    num_references: int
    status: str
    """`ok` or `failed`."""
    error: str | None = None
    metrics: Metrics = dataclasses.field(default_factory=Metrics)
    sample_ids: tuple[str, ...] = ()
    labels: tuple[int, ...] = ()
    """0 normal, 1 abnormal, one per sample."""
    kinds: tuple[str, ...] = ()
    image_scores: tuple[float, ...] = ()
    reference_ids: tuple[str, ...] = ()
    ms_per_image: float | None = None
    ms_per_megapixel: float | None = None
    """Of the photographs as they came, whatever scale they are looked at; None in records of dgad 0.1."""
    fit_s: float | None = None
    created_at: str = dataclasses.field(default_factory=utc_now)
    """UTC, ISO 8601."""
    versions: Mapping[str, str] = dataclasses.field(default_factory=current_versions)
    device: str = "cpu"
    log: str | None = None
    """Of a failure: the file with its traceback, relative to the run folder."""
    notes: tuple[str, ...] = ()
    """What went wrong on the way to a result, such as memory that ran out and how it was got round."""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        # NumPy and tensor values become plain ones, so that a record equals what is read back.
        set_ = object.__setattr__
        for name in ("sample_ids", "kinds", "reference_ids", "notes"):
            set_(self, name, tuple(map(str, getattr(self, name))))
        set_(self, "labels", tuple(map(int, self.labels)))
        set_(self, "image_scores", tuple(map(float, self.image_scores)))
        set_(self, "versions", dict(self.versions))
        if self.role not in _ROLES:
            raise RecordError(f"`role` must be one of {', '.join(_ROLES)}, but got {self.role!r}.")
        if self.status not in _STATUSES:
            raise RecordError(f"`status` must be one of {', '.join(_STATUSES)}, but got {self.status!r}.")
        counts = {len(self.sample_ids), len(self.labels), len(self.kinds), len(self.image_scores)}
        if len(counts) != 1:
            raise RecordError(f"A record needs one id, label, kind and score per sample, but got {counts}.")

    @property
    def record_id(self) -> str:
        """Depends on the fit, the target and the number of references only."""
        return record_id_for(self.fit, self.target, self.num_references)


def canonical_json(value: Any) -> str:
    """Render a value as JSON with sorted keys and no spaces: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _short_hash(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:32]
