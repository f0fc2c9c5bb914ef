"""Records: the outcome of one fit on one domain, one immutable Parquet file each."""

import dataclasses
import datetime
import functools
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dgad.errors import RecordError
from dgad.evaluation.metrics import Metrics
from dgad.files import remove_stale_temporaries
from dgad.storage import Storage

FORMAT_VERSION = 2
"""2 has `split`, `log` and `notes`; a record of version 1 is read as one without them."""
ROLES = ("inner", "outer", "deploy", "evaluate")
STATUSES = ("ok", "failed")
_METRIC_NAMES = tuple(f.name for f in dataclasses.fields(Metrics))


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
            del values["split"]  # records of format version 1 keep their names
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
    fit_s: float | None = None
    created_at: str = dataclasses.field(default_factory=lambda: utc_now())
    """UTC, ISO 8601."""
    versions: Mapping[str, str] = dataclasses.field(default_factory=lambda: current_versions())
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
        if self.role not in ROLES:
            raise RecordError(f"`role` must be one of {', '.join(ROLES)}, but got {self.role!r}.")
        if self.status not in STATUSES:
            raise RecordError(f"`status` must be one of {', '.join(STATUSES)}, but got {self.status!r}.")
        counts = {len(self.sample_ids), len(self.labels), len(self.kinds), len(self.image_scores)}
        if len(counts) != 1:
            raise RecordError(f"A record needs one id, label, kind and score per sample, but got {counts}.")

    @property
    def record_id(self) -> str:
        """Depends on the fit, the target and the number of references only."""
        return record_id_for(self.fit, self.target, self.num_references)


class RecordStore:
    """Records under one location: a folder, or a URI of any pyarrow filesystem (`s3://bucket/runs/x`)."""

    def __init__(self, location: str | Path) -> None:
        self._storage = Storage(location)
        self.location = self._storage.location
        if self._storage.is_local:
            remove_stale_temporaries(self.location)

    def write(self, record: Record) -> None:
        """Put the record under its final name, whole or not at all.

        A record that is ok is never replaced; a failed one gives way to a later attempt.
        """
        existing = self.read(record.record_id)
        if existing is not None and existing.status == "ok":
            return
        self._storage.write(_file_name(record.record_id), _encode(record))

    def read(self, record_id: str) -> Record | None:
        """The record, or None where there is none; `RecordError` names a damaged or newer file."""
        table = self._read_table(record_id)
        return None if table is None else _decode(table, self._path(record_id))

    def ids(self) -> tuple[str, ...]:
        """The ids of all records, sorted; unfinished files are not among them."""
        names = self._storage.sizes()
        return tuple(sorted(n.removesuffix(".parquet") for n in names if _is_record_name(n)))

    def records(self, ids: Sequence[str] | None = None) -> tuple[Record, ...]:
        """Every record, in id order; or those of `ids` that are there, and no other is looked at."""
        found = self._storage.each(self.read, self.ids() if ids is None else sorted(set(ids)))
        return tuple(record for record in found if record is not None)

    def failed(self) -> tuple[Record, ...]:
        """The records of what failed, in id order; the others are read and let go, one after the other."""

        def kept(record_id: str) -> Record | None:
            record = self.read(record_id)
            return record if record is not None and record.status == "failed" else None

        found = self._storage.each(kept, self.ids())
        return tuple(record for record in found if record is not None)

    def table(self) -> pa.Table:
        """Every record as one row of one Arrow table (`SCHEMA`), checked like `read`."""
        ids, tables = self.ids(), []
        for record_id, table in zip(ids, self._storage.each(self._read_table, ids), strict=True):
            if table is not None:
                _decode(table, self._path(record_id))
                tables.append(_migrated(table))
        return pa.concat_tables(tables) if tables else SCHEMA.empty_table()

    def _path(self, record_id: str) -> str:
        return self._storage.path(_file_name(record_id))

    def _read_table(self, record_id: str) -> pa.Table | None:
        path = self._path(record_id)
        buffer = self._storage.read(_file_name(record_id))
        if buffer is None:
            return None
        try:
            # Not by `read_table`, which takes the file for a data set and twice as long.
            with pq.ParquetFile(pa.BufferReader(buffer), page_checksum_verification=True) as file:
                table = file.read()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(path) from error
        version = (table.schema.metadata or {}).get(b"dgad_format_version", b"")
        if not version.isdigit():
            raise _damaged(path)
        if int(version) > FORMAT_VERSION:
            raise RecordError(
                f"Record {path} has format version {int(version)}, but this dgad reads up to"
                f" {FORMAT_VERSION}: update dgad."
            )
        return table


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def utc_now() -> str:
    """This second in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def current_versions() -> dict[str, str]:
    """Versions of python, dgad, torch and timm, as records carry them."""
    return dict(_versions())


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Looked up once a process: it takes longer than the rest of a record."""
    installed = ((name, importlib.metadata.version(name)) for name in ("dgad", "torch", "timm"))
    return ("python", platform.python_version()), *installed


def _short_hash(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:32]


def _file_name(record_id: str) -> str:
    return f"{record_id}.parquet"


def _is_record_name(name: str) -> bool:
    stem = name.removesuffix(".parquet")
    return stem != name and len(stem) == 32 and set(stem) <= set("0123456789abcdef")


def _damaged(path: str) -> RecordError:
    return RecordError(f"Record {path} is damaged: delete it, and its fit is computed again on the next run.")


SCHEMA = pa.schema(
    [
        ("record_id", pa.string()),
        ("fit_id", pa.string()),
        ("method", pa.string()),
        ("label", pa.string()),
        ("settings", pa.string()),  # JSON: its keys differ from method to method
        ("features", pa.string()),  # JSON
        ("sources", pa.list_(pa.string())),
        ("data_fingerprint", pa.string()),
        ("seed", pa.int64()),
        ("code_version", pa.string()),
        ("role", pa.string()),
        ("target", pa.string()),
        ("num_references", pa.int64()),
        ("status", pa.string()),
        ("error", pa.string()),
        *((name, pa.float64()) for name in _METRIC_NAMES),
        ("sample_ids", pa.list_(pa.string())),
        ("labels", pa.list_(pa.int64())),
        ("kinds", pa.list_(pa.string())),
        ("image_scores", pa.list_(pa.float64())),
        ("reference_ids", pa.list_(pa.string())),
        ("ms_per_image", pa.float64()),
        ("fit_s", pa.float64()),
        ("created_at", pa.string()),
        ("versions", pa.string()),  # JSON
        ("device", pa.string()),
        ("split", pa.string()),
        ("log", pa.string()),
        ("notes", pa.list_(pa.string())),
        ("format_version", pa.int64()),
        ("digest", pa.string()),  # SHA-256 over all the others: Parquet's own checksums cover pages only
    ],
    metadata={"dgad_format_version": str(FORMAT_VERSION)},
)
_SINCE_VERSION_2: Mapping[str, Any] = {"split": "all", "log": None, "notes": []}
_NAMES_OF_VERSION_1 = [name for name in SCHEMA.names if name not in _SINCE_VERSION_2]
_JSON_COLUMNS = ("settings", "features", "versions")
_FIT_COLUMNS = tuple(f.name for f in dataclasses.fields(FitKey))
_PLAIN_COLUMNS = tuple(
    f.name for f in dataclasses.fields(Record) if f.name not in ("fit", "metrics", "versions")
)


def _row(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {"record_id": record.record_id, "fit_id": record.fit.id}
    row |= {name: getattr(record.fit, name) for name in _FIT_COLUMNS}
    row |= {name: getattr(record, name) for name in _PLAIN_COLUMNS}
    row |= {name: getattr(record.metrics, name) for name in _METRIC_NAMES}
    row["versions"] = record.versions
    row |= {name: canonical_json(row[name]) for name in _JSON_COLUMNS}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in row.items()}


def _digest(row: Mapping[str, Any]) -> str:
    # repr, not JSON: a score that is not finite must survive too
    text = "\n".join(f"{name}={row[name]!r}" for name in sorted(row) if name != "digest")
    return hashlib.sha256(text.encode()).hexdigest()


def _encode(record: Record) -> bytes:
    row = _row(record)
    # Through Arrow first, so that the digest is over the values as they are read back.
    table = pa.Table.from_pylist([{**row, "digest": ""}], schema=SCHEMA)
    (stored,) = table.to_pylist()
    table = pa.Table.from_pylist([{**stored, "digest": _digest(stored)}], schema=SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    return bytes(sink.getvalue())


def _decode(table: pa.Table, path: str) -> Record:
    if table.num_rows != 1 or table.schema.names not in (SCHEMA.names, _NAMES_OF_VERSION_1):
        raise _damaged(path)
    try:
        (row,) = table.to_pylist()
        if row["digest"] != _digest(row):
            raise _damaged(path)
    except UnicodeDecodeError as error:
        raise _damaged(path) from error
    row = {**_SINCE_VERSION_2, **row}
    for name in _JSON_COLUMNS:
        row[name] = json.loads(row[name])
    fit = FitKey(**{name: row[name] for name in _FIT_COLUMNS})
    record = Record(
        fit=fit,
        metrics=Metrics(**{name: row[name] for name in _METRIC_NAMES}),
        versions=row["versions"],
        **{name: _tuple(row[name]) for name in _PLAIN_COLUMNS},
    )
    if Path(path).name != f"{record.record_id}.parquet":
        raise RecordError(f"Record {path} holds record {record.record_id}: rename or delete it.")
    return record


def _migrated(table: pa.Table) -> pa.Table:
    """A record's table in today's columns."""
    (row,) = table.to_pylist()
    return pa.Table.from_pylist([{**_SINCE_VERSION_2, **row}], schema=SCHEMA)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
