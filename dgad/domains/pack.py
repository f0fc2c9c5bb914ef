"""Writing packed domains: whole or not at all on local disk, whole objects elsewhere."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from dgad.domains.base import Dataset, Domain
from dgad.domains.checks import check_listing
from dgad.domains.layouts import open_dataset
from dgad.domains.parquet import FORMAT_VERSION, METADATA_KEY, SCHEMA, PackIndex, SampleEntry
from dgad.errors import DataError
from dgad.files import MAX_NAME_BYTES, replace_folder_atomic
from dgad.storage import DATA, Storage

_ENDING = ".parquet"


def pack(
    source: str,
    destination: str,
    *,
    layout: str | None = None,
    domains: Sequence[str] | None = None,
    progress: Callable[[str], None] = lambda domain: None,
) -> Dataset:
    """Write every domain of `source` as one Parquet file in the folder `destination`, and open it.

    `destination` is a local folder or a URI, and must be empty or absent. `progress` is called with
    a domain's name once it is written.
    """
    dataset = open_dataset(source, layout=layout)
    check_listing(dataset, domains)
    chosen = [dataset.domain(name) for name in domains or dataset.domains]
    names = tuple(sorted(d.name for d in chosen))
    for name in names:
        if len(f"{name}{_ENDING}".encode()) > MAX_NAME_BYTES:
            raise DataError(
                f"The name of domain `{name}` is too long to pack it in a file; rename its folder."
            )
    with _empty_folder(destination) as (filesystem, folder):
        for domain in chosen:
            _write_domain(domain, names, filesystem, f"{folder}/{domain.name}{_ENDING}")
            progress(domain.name)
    return open_dataset(destination, layout="parquet")


@contextlib.contextmanager
def _empty_folder(destination: str) -> Iterator[tuple[fs.FileSystem, str]]:
    """A folder to fill that becomes `destination` at the end, or of which nothing stays."""
    storage = Storage(destination, DATA)
    try:
        entries = storage.filesystem.get_file_info(fs.FileSelector(storage.root, allow_not_found=True))
    except NotADirectoryError:
        raise DataError(f"{destination} is a file; give the name of a new folder.") from None
    except OSError as error:
        raise DataError(f"{destination} cannot be written ({error}); check your access.") from None
    if entries:
        raise DataError(f"{destination} is not empty; give the name of a new folder.")
    if storage.is_local:
        try:
            with replace_folder_atomic(Path(storage.root)) as folder:
                yield storage.filesystem, os.fspath(folder)
        except PermissionError as error:
            raise DataError(f"{destination} cannot be written ({error}); choose another folder.") from None
        return
    try:  # there is no atomic rename: a file of a broken pack names the domains that are missing
        storage.filesystem.create_dir(storage.root, recursive=True)
        yield storage.filesystem, storage.root
    except BaseException:
        for entry in storage.filesystem.get_file_info(fs.FileSelector(storage.root, allow_not_found=True)):
            storage.filesystem.delete_file(entry.path)
        raise


def _oldest_version(domain: Domain) -> int:
    """The first format whose readers understand all that the domain declares."""
    if domain.scale is not None or domain.region is not None:
        return FORMAT_VERSION
    return 1 if domain.bit_depth is None else 2


def _write_domain(domain: Domain, pack_names: tuple[str, ...], filesystem: fs.FileSystem, path: str) -> None:
    entries = tuple(
        SampleEntry(id=s.id, split=s.split, kind=s.kind, photograph=s.photograph, has_mask=s.mask is not None)
        for s in domain.samples
    )
    index = PackIndex(
        format_version=_oldest_version(domain),
        domain=domain.name,
        pack=pack_names,
        samples=entries,
        bit_depth=domain.bit_depth,
        scale=domain.scale,
        region=None if domain.region is None else domain.region.to_json(),
    )
    schema = SCHEMA.with_metadata({METADATA_KEY: index.to_json()})
    with pq.ParquetWriter(
        path,
        schema,
        filesystem=filesystem,
        compression="none",  # the bytes are JPEG or PNG already
        use_dictionary=False,
        write_statistics=["id", "split", "kind"],
    ) as writer:
        for sample in domain.samples:
            row = {
                "id": sample.id,
                "split": sample.split,
                "kind": sample.kind,
                "photograph": sample.photograph,
                "image": sample.image.read(),
                "mask": sample.mask.read() if sample.mask else None,
            }
            writer.write_table(pa.Table.from_pylist([row], schema=schema), row_group_size=1)
