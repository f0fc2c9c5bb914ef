"""A bundle where a replica can read it: a folder as it is, or fetched from a URI into the user's cache."""

import hashlib
from pathlib import Path

from dgad.bundle import CONTENT_FILES, BundleInfo, no_bundle_error, read_bundle
from dgad.errors import BundleError
from dgad.files import write_atomic
from dgad.methods import METHODS
from dgad.sealed_folder import MANIFEST_FILE
from dgad.storage import Storage, without_credentials
from dgad.user_dirs import temporary_user_folder, user_cache_folder


def fetch_bundle(location: str) -> Path:
    """Return the folder with the bundle, fetched first where `location` is a URI.

    Raises `BundleError` where there is none, `RecordError` for a location out of reach.

    What was fetched is checked against its manifest wherever it is read.
    """
    if "://" not in location:
        return Path(location).absolute()
    place = Storage(location)
    manifest = place.read(MANIFEST_FILE)
    if manifest is None:
        raise no_bundle_error(without_credentials(location))
    own = user_cache_folder() or temporary_user_folder()
    folder = own / "serve" / "bundles" / hashlib.sha256(manifest).hexdigest()[:32]
    for name in (*CONTENT_FILES, MANIFEST_FILE):  # the manifest last: without it the folder is no bundle
        if not (folder / name).is_file() or name == MANIFEST_FILE:
            data = manifest if name == MANIFEST_FILE else place.read(name)
            if data is None:
                raise BundleError(f"{place.path(name)} is missing: copy the whole bundle again.")
            write_atomic(folder / name, data)
    return folder


def check_bundle(location: str) -> BundleInfo:
    """Read the bundle's manifest and check it.

    Raises `BundleError` where a checksum differs or its method cannot be served.
    """
    info = read_bundle(fetch_bundle(location))
    if info.method not in METHODS or not METHODS[info.method].traits.servable:
        names = ", ".join(name for name, method in METHODS.items() if method.traits.servable)
        raise BundleError(f"{location} holds `{info.method}`, and what can be served is {names}.")
    return info
