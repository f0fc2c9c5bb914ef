"""The code of this very installation as one folder, which Ray copies to every node as a job's `working_dir`.

Ray starts driver and workers in that copy and puts it first into `PYTHONPATH`, so what is shipped goes before
whatever the nodes have installed. The version travels as well (`dgad-VERSION.dist-info`): it is part of the
address of every fit, and a node may have another dgad installed, or none.
"""

import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from dgad.errors import ClusterError, SettingsError
from dgad.files import name_in_errors

PACKAGES = ("dgad", "tune", "serve", "cluster")
_DISTRIBUTION = "dgad"
_LEFT_OUT = ("__pycache__", "tests")
_MIB = 1024**2
_LIMIT_VARIABLE = "RAY_max_grpc_message_size"
"""The variable of Ray's that raises its limit of 512 MiB."""


def pack_code(folder: Path, *, extra: Mapping[str, bytes]) -> Path:
    """Fill the new or empty `folder` with the packages as they are imported here and the `extra` files.

    The same code and files give the same package of Ray's, whenever and wherever they are packed, so it is
    sent to a cluster once. Raises `ClusterError` where it is larger than Ray takes.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"{folder} must be a new or empty folder to pack code into.")
    files = dict(_installed_files())
    for name, data in extra.items():
        _check_name(name)
        files[name] = data
    _check_size(files)
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with name_in_errors(target):
            target.write_bytes(content.read_bytes() if isinstance(content, Path) else content)
    return folder


def _installed_files() -> Iterator[tuple[str, Path | bytes]]:
    """Name within the package and source of everything that an installation holds."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ClusterError(f"The package `{package}` of dgad is not installed here: install dgad anew.")
        root = Path(spec.submodule_search_locations[0])
        for file in sorted(root.rglob("*")):
            inside = file.relative_to(root)
            if file.is_file() and not any(_is_left_out(part) for part in inside.parts):
                yield str(PurePosixPath(package, *inside.parts)), file
    try:
        distribution = importlib.metadata.distribution(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise ClusterError("dgad is not installed here, so its version is unknown: install it.") from None
    # Written anew: a source tree keeps it under another name (PKG-INFO) than an installation.
    metadata = f"Metadata-Version: 2.1\nName: {_DISTRIBUTION}\nVersion: {distribution.version}\n"
    yield f"{_DISTRIBUTION}-{distribution.version}.dist-info/METADATA", metadata.encode()


def _is_left_out(part: str) -> bool:
    # Hidden files may be secrets, and Ray would obey an ignore file among them.
    return part in _LEFT_OUT or part.startswith(".") or part.endswith((".pyc", "~"))


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    inside = not path.is_absolute() and ".." not in path.parts and path.parts
    if not inside or _is_left_out(path.parts[0]) or path.parts[0] in PACKAGES:
        raise SettingsError(
            f"A file shipped beside the code must have a relative name outside of {', '.join(PACKAGES)}, but "
            f"got {name!r}."
        )


def _check_size(files: Mapping[str, Path | bytes]) -> None:
    # Ray keeps a package in one message of at most this size; packing makes ours smaller, if anything.
    limit_bytes = int(os.environ.get(_LIMIT_VARIABLE, 512 * _MIB))
    sizes = {n: c.stat().st_size if isinstance(c, Path) else len(c) for n, c in files.items()}
    if (total := sum(sizes.values())) > limit_bytes:
        largest = max(sizes, key=sizes.__getitem__)
        raise ClusterError(
            f"The code to ship holds {total / _MIB:.1f} MiB, and Ray takes {limit_bytes / _MIB:.1f} MiB: the "
            f"largest file is {largest} ({sizes[largest] / _MIB:.1f} MiB); does it belong there?"
        )
