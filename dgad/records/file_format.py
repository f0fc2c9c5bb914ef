"""Record files: one Parquet file of one row, which says by its columns which metrics the record has.

A version that computes another set of metrics reads them all the same: a metric that a file lacks is None,
and one that this version does not know is passed over. So a metric may come or go without a new format
version, and so may a column of `_LATER`, which is None where a file lacks it; any other change needs one.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dgad.errors import RecordError
from dgad.evaluation.metrics import Metrics
from dgad.records.record import FORMAT_VERSION, FitKey, Record, canonical_json

_VERSION_KEY = b"dgad_format_version"
_JSON_COLUMNS = ("settings", "features", "versions")
_FIT_COLUMNS = tuple(f.name for f in dataclasses.fields(FitKey))
_PLAIN_COLUMNS = tuple(
    f.name for f in dataclasses.fields(Record) if f.name not in ("fit", "metrics", "versions")
)
_BEFORE_METRICS = (
    pa.field("record_id", pa.string()),
    pa.field("fit_id", pa.string()),
    pa.field("method", pa.string()),
    pa.field("label", pa.string()),
    pa.field("settings", pa.string()),  # JSON: its keys differ from method to method
    pa.field("features", pa.string()),  # JSON
    pa.field("sources", pa.list_(pa.string())),
    pa.field("data_fingerprint", pa.string()),
    pa.field("seed", pa.int64()),
    pa.field("code_version", pa.string()),
    pa.field("role", pa.string()),
    pa.field("target", pa.string()),
    pa.field("num_references", pa.int64()),
    pa.field("status", pa.string()),
    pa.field("error", pa.string()),
)
_AFTER_METRICS = (
    pa.field("sample_ids", pa.list_(pa.string())),
    pa.field("labels", pa.list_(pa.int64())),
    pa.field("kinds", pa.list_(pa.string())),
    pa.field("image_scores", pa.list_(pa.float64())),
    pa.field("reference_ids", pa.list_(pa.string())),
    pa.field("ms_per_image", pa.float64()),
    pa.field("fit_s", pa.float64()),
    pa.field("created_at", pa.string()),
    pa.field("versions", pa.string()),  # JSON
    pa.field("device", pa.string()),
    pa.field("split", pa.string()),
    pa.field("log", pa.string()),
    pa.field("notes", pa.list_(pa.string())),
    pa.field("format_version", pa.int64()),
    pa.field("digest", pa.string()),  # SHA-256 over all the others: Parquet's own checksums cover pages only
)
_LATER = (pa.field("ms_per_megapixel", pa.float64()),)
"""Columns that came after the format; readers of then take them for metrics that they do not know."""
_ALWAYS_THERE = tuple(field.name for field in (*_BEFORE_METRICS, *_AFTER_METRICS))


def table_schema() -> pa.Schema:
    """Give the columns of a record as this version writes it, a float64 for each metric among them."""
    metrics = (pa.field(name, pa.float64()) for name in _metric_names())
    metadata = {_VERSION_KEY: str(FORMAT_VERSION).encode()}
    return pa.schema([*_BEFORE_METRICS, *metrics, *_LATER, *_AFTER_METRICS], metadata=metadata)


def table_of_rows(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Put rows that `read_row` gave into one table of `table_schema()`; a metric that a row lacks is null."""
    return pa.Table.from_pylist(list(rows), schema=table_schema())


def encode_record(record: Record) -> bytes:
    """Render a record as the bytes of its file."""
    row = _row(record)
    # Through Arrow first, so that the digest is over the values as they are read back.
    table = pa.Table.from_pylist([{**row, "digest": ""}], schema=table_schema())
    (stored,) = table.to_pylist()
    table = pa.Table.from_pylist([{**stored, "digest": _digest(stored)}], schema=table_schema())
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    return bytes(sink.getvalue())


def read_row(data: bytes, path: str) -> dict[str, Any]:
    """Read the columns of a record's file, by name, metrics of other versions among them.

    Raises:
        RecordError: the file, named by its `path`, is damaged or of another format version.
    """
    try:
        # Not by `read_table`, which takes the file for a data set and twice as long.
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path) from error
    _check_version(table, path)
    names = table.schema.names
    if table.num_rows != 1 or len(set(names)) != len(names) or not set(_ALWAYS_THERE) <= set(names):
        raise _damaged(path)
    try:
        row: dict[str, Any] = table.to_pylist()[0]
        if row["digest"] != _digest(row):
            raise _damaged(path)
    except UnicodeDecodeError as error:
        raise _damaged(path) from error
    return row


def record_of_row(row: Mapping[str, Any], path: str) -> Record:
    """Make the record of a row that `read_row` gave; `RecordError` where it lies under another's name."""
    values = {**row, **{name: json.loads(row[name]) for name in _JSON_COLUMNS}}
    record = Record(
        fit=FitKey(**{name: values[name] for name in _FIT_COLUMNS}),
        metrics=Metrics(**{name: values.get(name) for name in _metric_names()}),
        versions=values["versions"],
        **{name: _tuple(values.get(name)) for name in _PLAIN_COLUMNS},
    )
    if Path(path).name != f"{record.record_id}.parquet":
        raise RecordError(f"Record {path} holds record {record.record_id}: rename or delete it.")
    return record


def _metric_names() -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(Metrics))


def _check_version(table: pa.Table, path: str) -> None:
    stated = (table.schema.metadata or {}).get(_VERSION_KEY, b"")
    if not stated.isdigit():
        raise _damaged(path)
    version = int(stated)
    if version > FORMAT_VERSION:
        raise RecordError(
            f"Record {path} has format version {version}, but this dgad reads up to"
            f" {FORMAT_VERSION}: update dgad."
        )
    if version < FORMAT_VERSION:
        raise RecordError(
            f"Record {path} was made by a development version of dgad: delete it, and run the study again."
        )


def _row(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {"record_id": record.record_id, "fit_id": record.fit.id}
    row |= {name: getattr(record.fit, name) for name in _FIT_COLUMNS}
    row |= {name: getattr(record, name) for name in _PLAIN_COLUMNS}
    row |= {name: getattr(record.metrics, name) for name in _metric_names()}
    row["versions"] = record.versions
    row |= {name: canonical_json(row[name]) for name in _JSON_COLUMNS}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in row.items()}


def _digest(row: Mapping[str, Any]) -> str:
    # repr, not JSON: a score that is not finite must survive too
    text = "\n".join(f"{name}={row[name]!r}" for name in sorted(row) if name != "digest")
    return hashlib.sha256(text.encode()).hexdigest()


def _damaged(path: str) -> RecordError:
    return RecordError(f"Record {path} is damaged: delete it, and its fit is computed again on the next run.")


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
