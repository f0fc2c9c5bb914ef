"""The records of one place, a file each under the record's id."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from dgad.files import remove_stale_temporaries
from dgad.records.file_format import encode_record, read_row, record_of_row, table_of_rows
from dgad.records.record import Record
from dgad.storage import Storage


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
        self._storage.write(_file_name(record.record_id), encode_record(record))

    def read(self, record_id: str) -> Record | None:
        """Read one record; None where there is none.

        `RecordError` names a file that is damaged or of another format version.
        """
        row = self._read_row(record_id)
        return None if row is None else record_of_row(row, self._path(record_id))

    def ids(self) -> tuple[str, ...]:
        """List the ids of all records, sorted; unfinished files are not among them."""
        names = self._storage.sizes()
        return tuple(sorted(n.removesuffix(".parquet") for n in names if _is_record_name(n)))

    def records(self, ids: Sequence[str] | None = None) -> tuple[Record, ...]:
        """Read every record, in id order; or those of `ids` that are there, and no other is looked at."""
        found = self._storage.each(self.read, self.ids() if ids is None else sorted(set(ids)))
        return tuple(record for record in found if record is not None)

    def failed(self) -> tuple[Record, ...]:
        """Read the records of what failed, in id order; the others are let go one by one."""

        def read_failed(record_id: str) -> Record | None:
            record = self.read(record_id)
            return record if record is not None and record.status == "failed" else None

        found = self._storage.each(read_failed, self.ids())
        return tuple(record for record in found if record is not None)

    def table(self) -> pa.Table:
        """Read every record into one row each of one Arrow table, checked like `read`.

        The columns are those of `table_schema`: a metric that a record lacks is null, one that this version
        does not know is left out.
        """

        def read_checked(record_id: str) -> dict[str, Any] | None:
            row = self._read_row(record_id)
            if row is not None:
                record_of_row(row, self._path(record_id))
            return row

        rows = self._storage.each(read_checked, self.ids())
        return table_of_rows(row for row in rows if row is not None)

    def _path(self, record_id: str) -> str:
        return self._storage.path(_file_name(record_id))

    def _read_row(self, record_id: str) -> dict[str, Any] | None:
        data = self._storage.read(_file_name(record_id))
        return None if data is None else read_row(data, self._path(record_id))


def _file_name(record_id: str) -> str:
    return f"{record_id}.parquet"


def _is_record_name(name: str) -> bool:
    stem = name.removesuffix(".parquet")
    return stem != name and len(stem) == 32 and set(stem) <= set("0123456789abcdef")
