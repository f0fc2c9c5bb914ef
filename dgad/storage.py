"""Bytes under names, in a folder or at a URI of any pyarrow filesystem (`s3://bucket/runs`).

An object store has no rename and no exclusive creation, so whatever is kept is one whole object under its
final name, which is there whole or not at all. On a local disk the same holds by `dgad.files`.
"""

import contextlib
import dataclasses
import os
import secrets
import stat
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pyarrow import fs

from dgad.errors import DataError, RecordError, StoreError, UnwritableStoreError, UserError
from dgad.files import (
    is_temporary,
    name_in_errors,
    remove_stale_temporaries,
    sync_folder,
    temporary_beside,
    write_atomic,
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ErrorWording:
    """Which error a storage raises where it cannot be used, and in which words."""

    error: type[UserError]
    unusable: str
    """Of a location that names no place, with `{location}` and `{reason}`."""
    disk: str | None = None
    """Of a local disk that refuses, with `{path}`, `{verb}` and `{reason}`; None lets its `OSError` pass."""


RUNS = ErrorWording(
    error=RecordError,
    unusable="{location} cannot be used ({reason}); give a folder, or a URI such as s3://bucket/runs or"
    " gs://bucket/runs.",
)
"""For what a study or a service keeps."""
REFERENCES = ErrorWording(
    error=StoreError,
    unusable=RUNS.unusable,
    disk="{path} cannot be {verb} ({reason}): see that this user may write there and that the disk has room,"
    " or name another store.",
)
"""For a reference store."""
DATA = ErrorWording(
    error=DataError,
    unusable="The location {location} cannot be used ({reason}); give a folder, or a URI such as"
    " s3://bucket/folder or gs://bucket/folder.",
)
"""For a data set."""

_S3_TIMEOUT_S = 5.0
_STALE_S = 300.0
_NUM_READERS = 16
_K = TypeVar("_K")
_T = TypeVar("_T")


class Storage:
    """One place; it travels to other processes as its location."""

    def __init__(self, location: str | Path, wording: ErrorWording = RUNS) -> None:
        """Raise the error of `wording`, as every method does, for what cannot be used.

        A URI that carries credentials is refused.
        """
        self.location = str(location)
        self.filesystem: fs.FileSystem = fs.LocalFileSystem()
        self._wording = wording
        if "://" in self.location:
            try:
                self.filesystem, root = filesystem_of(self.location)
            except (pa.ArrowException, OSError, ValueError, ImportError) as error:
                raise wording.error(
                    wording.unusable.format(location=without_credentials(self.location), reason=_brief(error))
                ) from None
            self.root = root.rstrip("/") or root
        else:
            self.root = str(Path(self.location).absolute())
        self.is_local = isinstance(self.filesystem, fs.LocalFileSystem)
        if self.is_local:
            self.location = self.root

    def __reduce__(self) -> tuple[Any, ...]:
        return (Storage, (self.location, self._wording))

    def child(self, name: str) -> "Storage":
        """Give the place below this one; a URI keeps its query."""
        if self.is_local:
            return Storage(Path(self.location) / name, self._wording)
        parts = urllib.parse.urlsplit(self.location)
        below = parts._replace(path=f"{parts.path.rstrip('/')}/{name}")
        return Storage(below.geturl(), self._wording)

    def sibling(self, name: str) -> "Storage":
        """Give the place beside this one, under the same parent."""
        if self.is_local:
            return Storage(Path(self.location).parent / name, self._wording)
        parts = urllib.parse.urlsplit(self.location)
        parent = parts.path.rstrip("/").rpartition("/")[0]
        return Storage(parts._replace(path=f"{parent}/{name}").geturl(), self._wording)

    def path(self, name: str) -> str:
        """How messages name what is kept there."""
        return f"{self.root}/{name}" if name else self.root

    def read(self, name: str, num_bytes: int | None = None) -> bytes | None:
        """Read what is kept under the name, or its first bytes; None where there is nothing."""
        try:
            with self.filesystem.open_input_file(self.path(name)) as file:
                data: bytes = file.read(num_bytes)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (pa.ArrowException, OSError) as error:
            raise self._trouble("read", name, error) from None
        return data

    def make_folder(self) -> None:
        """Make the local folder, which nobody else may enter; one that is there stays as it is."""
        if self.is_local and not os.path.isdir(self.location):
            with self.report_disk_errors("written", ""):
                Path(self.location).mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def is_open_to_others(self) -> bool:
        """Whether other users of this machine may look into the local folder."""
        if not self.is_local or not os.path.isdir(self.location):
            return False
        return bool(os.stat(self.location).st_mode & stat.S_IRWXO)

    def write(self, name: str, data: bytes, *, private: bool = False) -> None:
        """Keep it under the name, whole or not at all, in place of what was there.

        `private`: on a local disk nobody else may read it.
        """
        if self.is_local:
            with self.report_disk_errors("written", name):
                write_atomic(self.path(name), data, private=private)
            return
        try:
            try:
                self._put(name, data)
            except FileNotFoundError:  # a filesystem whose folders must be there first
                self.filesystem.create_dir(self.path(name).rpartition("/")[0], recursive=True)
                self._put(name, data)
        except (pa.ArrowException, OSError) as error:
            raise self._trouble("written", name, error) from None

    def _put(self, name: str, data: bytes) -> None:
        with self.filesystem.open_output_stream(self.path(name)) as stream:
            stream.write(data)

    def create(self, name: str, data: bytes) -> bool:
        """Keep it unless the name is taken: False.

        Among any number of processes on a local disk; on an object store of a single writer only.
        """
        if not self.is_local:
            if self.exists(name):
                return False
            self.write(name, data)
            return True
        with self.report_disk_errors("written", name):
            return self._link(Path(self.path(name)), data)

    def _link(self, target: Path, data: bytes) -> bool:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(target)
        try:
            with name_in_errors(target), open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, target)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(target.parent)
        return True

    def each(self, read: Callable[[_K], _T], names: Sequence[_K]) -> list[_T]:
        """`read` of every name, in order; many at once on an object store, where each answer takes long."""
        if self.is_local or len(names) < 2:
            return [read(name) for name in names]
        with ThreadPoolExecutor(_NUM_READERS) as readers:
            return list(readers.map(read, names))

    def exists(self, name: str) -> bool:
        """Whether something is kept under the name."""
        try:
            (info,) = self.filesystem.get_file_info([self.path(name)])
        except (pa.ArrowException, OSError) as error:
            raise self._trouble("looked at", name, error) from None
        return bool(info.type != fs.FileType.NotFound)

    def sizes(self, folder: str = "", *, deep: bool = False) -> dict[str, int]:
        """Bytes by name of what is kept in a folder, or anywhere below it; empty where it is missing.

        What is hidden (a name that begins with a dot) is left out.
        """
        return {name: int(info.size) for name, info in self._listed(folder, deep).items()}

    def modified(self, folder: str = "") -> dict[str, float]:
        """When what is kept in a folder was written, by name: seconds since 1970."""
        return {name: info.mtime_ns / 1e9 for name, info in self._listed(folder, False).items()}

    def _listed(self, folder: str, deep: bool) -> dict[str, fs.FileInfo]:
        try:
            selector = fs.FileSelector(self.path(folder), allow_not_found=True, recursive=deep)
            infos = self.filesystem.get_file_info(selector)
        except NotADirectoryError:
            return {}
        except (pa.ArrowException, OSError) as error:
            raise self._trouble("listed", folder, error) from None
        start = len(self.root) + 1
        found = {i.path[start:]: i for i in infos if i.is_file}
        return dict(sorted((n, info) for n, info in found.items() if not _is_hidden(n, folder)))

    def folders(self, name: str = "") -> tuple[str, ...]:
        """The names of the folders right below, or below the one named; hidden ones left out."""
        try:
            infos = self.filesystem.get_file_info(fs.FileSelector(self.path(name), allow_not_found=True))
        except (pa.ArrowException, OSError) as error:
            raise self._trouble("listed", name, error) from None
        names = (i.base_name for i in infos if i.type == fs.FileType.Directory)
        return tuple(sorted(n for n in names if not n.startswith(".")))

    def delete(self, *names: str) -> None:
        """Remove what is kept under the names; nothing where nothing is."""
        self.each(self._delete, names)

    def _delete(self, name: str) -> None:
        try:
            self.filesystem.delete_file(self.path(name))
        except FileNotFoundError:
            return
        except (pa.ArrowException, OSError) as error:
            if self.exists(name):
                raise self._trouble("removed", name, error) from None

    def remove_leftovers(self, folder: str, *, older_than_s: float = _STALE_S) -> None:
        """Remove the unfinished files that killed writers left in a folder of a local disk."""
        if self.is_local:
            with self.report_disk_errors("cleaned", folder):
                remove_stale_temporaries(self.path(folder), older_than_s=older_than_s)

    @contextlib.contextmanager
    def report_disk_errors(self, verb: str, name: str) -> Iterator[None]:
        """Say in the storage's own words what a local disk refuses while it is being `verb`, as "written"."""
        try:
            yield
        except OSError as error:
            if self._wording.disk is None:
                raise
            reason = error.strerror or str(error)
            told = self._wording.disk.format(path=self.path(name), verb=verb, reason=reason)
            raise self._make_error(verb, told, reason) from None

    def _trouble(self, verb: str, name: str, error: Exception) -> UserError:
        told = (
            f"{self.path(name)} cannot be {verb} ({_brief(error)}): check that the place exists, that it can"
            " be reached from this host, and that this host's credentials may use it."
        )
        return self._make_error(verb, told)

    def _make_error(self, verb: str, told: str, reason: str = "") -> UserError:
        if verb == "written" and issubclass(self._wording.error, StoreError):
            return UnwritableStoreError(told, reason=reason)
        return self._wording.error(told)


def probe(storage: Storage) -> None:
    """Write, read and remove a small object; `RecordError` where the place does not let this process."""
    name = f".probe-{secrets.token_hex(8)}"
    try:
        storage.write(name, b"dgad")
        if storage.read(name) != b"dgad":
            raise RecordError(f"{storage.path(name)} did not keep what was written: use another storage.")
        storage.delete(name)
    except OSError as error:  # of a local disk
        raise RecordError(
            f"{storage.location} cannot be written ({_brief(error)}): make it writable for this user, or"
            " choose another place."
        ) from None


def filesystem_of(uri: str) -> tuple[fs.FileSystem, str]:
    """Give (filesystem, path within it) of a URI, as pyarrow has them but for S3.

    There a server that does not answer is reported after seconds, not minutes, and what is small goes up in
    one request.

    Raises `ValueError` for a URI that carries credentials, and what pyarrow raises.
    """
    parts = urllib.parse.urlsplit(uri)
    if parts.username or parts.password:
        raise ValueError(
            "it carries credentials, which would end up in logs: set them where the storage's own tools look,"
            " such as AWS_ACCESS_KEY_ID or the machine's role"
        )
    filesystem, root = fs.FileSystem.from_uri(uri)
    if parts.scheme == "s3":
        options: dict[str, Any] = dict(urllib.parse.parse_qsl(parts.query))
        filesystem = fs.S3FileSystem(
            region=filesystem.region,
            scheme=options.get("scheme", "https"),
            endpoint_override=options.get("endpoint_override") or None,
            connect_timeout=_S3_TIMEOUT_S,
            request_timeout=_S3_TIMEOUT_S,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=2),
            allow_delayed_open=True,
        )
    return filesystem, root


def without_credentials(location: str) -> str:
    """As a message may show it."""
    if "://" not in location:
        return location
    parts = urllib.parse.urlsplit(location)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _is_hidden(name: str, folder: str) -> bool:
    own = name[len(folder) + 1 :] if folder else name
    return is_temporary(name.rsplit("/", 1)[-1]) or own.startswith(".")


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(". ")
