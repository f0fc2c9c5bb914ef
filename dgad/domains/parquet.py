"""Packed domains: one Parquet file each, image and mask bytes as columns, on any pyarrow filesystem.

A file has one row per row group, so that one image is read without its neighbours, and its schema
metadata holds the index of all rows, so that a data set opens by reading footers only.
"""

import dataclasses
import functools
import json
import os
import threading
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from dgad.domains.base import Dataset, Domain, EncodedImage, Sample, declare
from dgad.domains.decoding import DEFAULT_LIMITS
from dgad.domains.normal_names import is_normal_name
from dgad.domains.region import RegionOfInterest
from dgad.errors import DataError, ImageError
from dgad.storage import DATA, Storage

FORMAT_VERSION = 3
"""Raised whenever an older reader would misread a file; 1 or 2 is still written where it would not."""
METADATA_KEY = b"dgad.domain"
_PAGE_HEADERS = 2**16  # bytes that a column chunk has beside the image, generously
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("photograph", pa.string()),
        pa.field("image", pa.binary(), nullable=False),
        pa.field("mask", pa.binary()),
    ]
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SampleEntry:
    """What the index says of one row."""

    id: str
    split: str
    kind: str
    photograph: str | None
    has_mask: bool


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PackIndex:
    """The index of one packed domain."""

    format_version: int
    domain: str
    pack: tuple[str, ...]
    """Every domain packed together with it: a missing one means that the copy is incomplete."""
    samples: tuple[SampleEntry, ...]
    bit_depth: int | None = None
    """Declared for the domain's images: since format version 2."""
    scale: str | None = None
    """Declared for the domain's images: since format version 3."""
    region: Mapping[str, Any] | None = None
    """The region of interest as JSON: since format version 3."""

    def to_json(self) -> bytes:
        """As the schema metadata keeps it."""
        values = dataclasses.asdict(self)
        for name in ("bit_depth", "scale", "region"):
            if values[name] is None:
                del values[name]
        return json.dumps(values, ensure_ascii=False).encode()


class PackedFile:
    """One packed domain, opened when first read; it travels to other processes as its location."""

    def __init__(self, location: str, path: str) -> None:
        self.location, self.path = location, path
        self._file: pq.ParquetFile | None = None
        self._lock = threading.Lock()  # a Parquet reader is not made for two threads at once

    def __reduce__(self) -> tuple[Any, ...]:
        return (PackedFile, (self.location, self.path))

    def index(self) -> PackIndex:
        """The index from the footer; `DataError` for a foreign, damaged or newer file."""
        with self._lock:
            metadata = self._open().schema_arrow.metadata or {}
        if METADATA_KEY not in metadata:
            raise DataError(f"{self.path} is no packed domain; make one with `dgad domains pack SRC DST`.")
        try:
            values = json.loads(metadata[METADATA_KEY])
            if values["format_version"] > FORMAT_VERSION:
                raise DataError(
                    f"{self.path} has format version {values['format_version']}, but this dgad reads up to"
                    f" {FORMAT_VERSION}; upgrade dgad, or pack the data again with this one."
                )
            return PackIndex(
                format_version=values["format_version"],
                domain=values["domain"],
                pack=tuple(values["pack"]),
                # Not by `from_dict`, which takes ten times as long, and there may be very many.
                samples=tuple(SampleEntry(**entry) for entry in values["samples"]),
                bit_depth=values.get("bit_depth"),
                scale=values.get("scale"),
                region=values.get("region"),
            )
        except (ValueError, LookupError, TypeError) as error:
            reason = f"its index lacks {error}" if isinstance(error, LookupError) else f"its index: {error}"
            raise DataError(f"{self.path} is damaged ({reason}); pack the data again.") from error

    def cell(self, row: int, column: str) -> bytes:
        """The bytes of one row of `image` or `mask`, read alone."""
        where = f"{self.path}#{row}"
        try:
            with self._lock:
                file = self._open()
                chunk = file.metadata.row_group(row).column(SCHEMA.get_field_index(column))
                if chunk.total_uncompressed_size > DEFAULT_LIMITS.max_bytes + _PAGE_HEADERS:
                    raise ImageError(
                        f"{where} has about {chunk.total_uncompressed_size:,} bytes, more than the"
                        f" {DEFAULT_LIMITS.max_bytes:,} allowed; crop the image and pack again."
                    )
                value = file.read_row_group(row, columns=[column], use_threads=False)[column][0].as_py()
        except (pa.ArrowException, OSError, IndexError) as error:
            raise ImageError(f"{where} cannot be read ({error}); pack the data again.") from None
        if not isinstance(value, bytes):
            raise ImageError(f"{where} has no {column}; pack the data again.")
        return value

    def _open(self) -> pq.ParquetFile:
        if self._file is None:
            storage = Storage(self.location, DATA)
            try:
                if storage.is_local:
                    self._file = pq.ParquetFile(self.path, memory_map=True)
                else:
                    self._file = pq.ParquetFile(storage.filesystem.open_input_file(self.path))
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{self.path} cannot be read as Parquet ({error}); pack it again.") from None
        return self._file


def recognise_parquet(location: str) -> bool:
    """Whether the location is a folder with Parquet files in it."""
    return bool(_parquet_paths(location))


def open_parquet(location: str) -> Dataset:
    """Every packed domain in a folder of any filesystem; reads footers, no image."""
    paths = _parquet_paths(location)
    if not paths:
        raise DataError(f"{location} holds no Parquet file; pack one with `dgad domains pack SRC DST`.")
    files = [PackedFile(location, path) for path in paths]
    indices = [file.index() for file in files]
    there = {index.domain for index in indices}
    missing = sorted({name for index in indices for name in index.pack} - there)
    if missing:
        raise DataError(
            f"The pack in {location} is incomplete: it lacks {', '.join(missing)}; copy or pack it again."
        )
    domains = sorted((_domain(f, i) for f, i in zip(files, indices, strict=True)), key=lambda d: d.name)
    if len(there) < len(domains):
        raise DataError(f"Two Parquet files in {location} hold the same domain; remove one.")
    return Dataset(location=location, domains={d.name: d for d in domains}, layout="parquet")


def _domain(file: PackedFile, index: PackIndex) -> Domain:
    def encoded(row: int, column: str) -> EncodedImage:
        path = f"{file.path}#{row}" + (" (mask)" if column == "mask" else "")
        return EncodedImage(path=path, read=functools.partial(file.cell, row, column))

    samples = (
        Sample(
            id=entry.id,
            domain=index.domain,
            split=entry.split,
            # Packed before its name was known for a normal one, a kind is read as it would be today.
            kind="good" if is_normal_name(entry.kind) else entry.kind,
            image=encoded(row, "image"),
            mask=encoded(row, "mask") if entry.has_mask and not is_normal_name(entry.kind) else None,
            photograph=entry.photograph,
        )
        for row, entry in enumerate(index.samples)
    )
    return declare(
        Domain(name=index.domain, samples=tuple(samples)),
        bit_depth=index.bit_depth,
        scale=index.scale,
        region=None if index.region is None else RegionOfInterest.from_json(index.region),
    )


def _parquet_paths(location: str) -> list[str]:
    storage = Storage(location, DATA)
    try:
        entries = storage.filesystem.get_file_info(fs.FileSelector(storage.root, allow_not_found=True))
    except NotADirectoryError:
        return []
    except OSError as error:
        raise DataError(f"{location} cannot be listed ({error}); check its name and your access.") from None
    paths = [e.path for e in entries if e.type == fs.FileType.File and e.path.endswith(".parquet")]
    return sorted(p for p in paths if not os.path.basename(p).startswith("."))
