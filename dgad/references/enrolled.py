"""What a bundle made of a domain's references, kept so that nobody need make it again.

`domains/NAME/enrolled/KEY.safetensors` holds the method's tensors (`enrolled.*`) and the calibration scores,
and in its metadata what else there is, with a checksum over all of it. KEY says what it is made of, so
whoever finds none, or a damaged one, makes it from the photographs. No such file is ever altered in place.
"""

import hashlib
import json
import logging
from collections.abc import Sequence

import safetensors
from safetensors.torch import load as load_bytes
from torch import Tensor

from dgad.calibration.threshold import Calibration
from dgad.errors import MissingError, SettingsError, StoreError
from dgad.methods.base import Enrolled
from dgad.provenance import digest_deciding_code
from dgad.references.domain import DomainSettings, Reference, check_domain_name
from dgad.references.enrolled_encoding import FORMAT_VERSION, decode_enrolled, encode_enrolled
from dgad.references.enrolled_files import drop_made_with, drop_oldest, file_name, metadata_of
from dgad.references.log_file import is_reference_id
from dgad.references.photographs import Photographs
from dgad.references.store import ReferenceStore

logger = logging.getLogger(__name__)

NUM_KEPT = 8
"""Files of one domain: two bundles with some versions each to go back to."""


def enrolled_key(bundle_id: str, references: Sequence[Reference], settings: DomainSettings) -> str:
    """Give the 64 hex digits of what decides a state: bundle, photographs, settings of the domain, and code.

    The order of the photographs does not matter, nor does a setting that only decides how scores are read.
    The code is all that decides scores: a calibration is exact only for queries that are scored as its
    references were. So after an update of dgad every state is made anew, once, from the photographs.
    """
    optional = {name: getattr(settings, name) for name in ("bit_depth", "scale", "region")}
    declared = {name: value for name, value in optional.items() if value is not None}
    decides = {
        "format_version": FORMAT_VERSION,
        "code": digest_deciding_code(),
        "bundle_id": bundle_id,
        "references": sorted(r.id for r in references),
        "calibration": settings.calibration,
        "coreset": settings.coreset,
        **declared,
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


class EnrolledStore:
    """Loads and saves such files. Nothing here fails a score: what cannot be kept is made again."""

    def __init__(self, store: ReferenceStore) -> None:
        self._store = store
        self._storage = store.storage

    def load(self, domain: str, key: str) -> tuple[Enrolled, Calibration] | None:
        """What was saved under the key; None where it is missing or damaged.

        On a local disk the tensors are mapped, not read: they must not be written to.
        """
        name = _name(domain, key)
        try:
            found = self._open(name)
            if found is None:
                return None
            return decode_enrolled(*found)
        except (
            StoreError, safetensors.SafetensorError, SettingsError, OSError, ValueError, KeyError, TypeError
        ) as error:  # fmt: skip
            logger.warning("%s is made again: %s", self._storage.path(name), error)
            return None

    def save(
        self, domain: str, key: str, enrolled: Enrolled, calibration: Calibration, ids: Sequence[str]
    ) -> None:
        """Keep it, unless one of the photographs it was made with (`ids`) is gone: purged meanwhile."""
        name = _name(domain, key)
        data = encode_enrolled(enrolled, calibration, ids)
        photographs = Photographs(self._storage)
        try:
            self._store.head(domain)
            with self._store.locks.hold(domain):
                if not photographs.ids(domain).issuperset(ids):
                    return
                self._storage.write(name, data)
                # On an object store the one who purges may be another process, which no lock keeps off.
                if not self._storage.is_local and not photographs.ids(domain).issuperset(ids):
                    self._storage.delete(name)
                    return
                drop_oldest(self._storage, domain, NUM_KEPT, name)
        except StoreError as error:
            logger.warning("Made, but not kept: %s", error)

    def drop(self, domain: str, reference_id: str) -> None:
        """Remove every file made with the photograph."""
        self._store.head(domain)
        with self._store.locks.hold(domain):
            drop_made_with(self._storage, domain, [reference_id])

    def _open(self, name: str) -> tuple[dict[str, str], dict[str, Tensor]] | None:
        if not self._storage.is_local:
            data = self._storage.read(name)
            return None if data is None else (metadata_of(data), load_bytes(data))
        if not self._storage.exists(name):
            return None
        with safetensors.safe_open(self._storage.path(name), framework="pt") as file:
            return dict(file.metadata() or {}), {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118


def _name(domain: str, key: str) -> str:
    check_domain_name(domain)
    if not is_reference_id(key):
        raise MissingError(f"{key[:80]!r} is no key of an enrolled state: it must be 64 hex digits.")
    return file_name(domain, key)
