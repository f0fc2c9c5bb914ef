"""Records: what each fit reached on each domain, as immutable files that any later version reads."""

from dgad.records.file_format import table_schema
from dgad.records.record import FORMAT_VERSION, FitKey, Record, canonical_json, record_id_for
from dgad.records.store import RecordStore

__all__ = [
    "FORMAT_VERSION",
    "FitKey",
    "Record",
    "RecordStore",
    "canonical_json",
    "record_id_for",
    "table_schema",
]
