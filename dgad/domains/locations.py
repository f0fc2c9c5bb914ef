"""A location as users write it: a local path, or a URI of any pyarrow filesystem."""

import dataclasses
import os

import pyarrow as pa
from pyarrow import fs

from dgad.errors import DataError
from dgad.storage import filesystem_of, without_credentials


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """A folder or URI resolved to a filesystem and a path in it."""

    filesystem: fs.FileSystem
    path: str
    """Within the filesystem."""

    @property
    def is_local(self) -> bool:
        """Whether plain file calls reach it."""
        return isinstance(self.filesystem, fs.LocalFileSystem)


def resolve(location: str) -> Location:
    """The filesystem and path of a location; `DataError` where the URI is none we know."""
    if "://" not in location:
        return Location(filesystem=fs.LocalFileSystem(), path=os.path.abspath(location))
    try:
        filesystem, path = filesystem_of(location)
    except (pa.ArrowException, OSError, ValueError, ImportError) as error:
        raise DataError(
            f"The location {without_credentials(location)} cannot be used ({error}); give a folder, or a URI"
            " such as s3://bucket/folder or gs://bucket/folder."
        ) from None
    return Location(filesystem=filesystem, path=path)
