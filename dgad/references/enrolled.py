"""What a bundle made of a domain's references, kept so that nobody need make it again.

`domains/NAME/enrolled/KEY.safetensors` holds the method's tensors (`enrolled.*`) and the calibration scores,
and in its metadata what else there is, with a checksum over all of it. KEY says what it is made of, so
whoever finds none, or a damaged one, makes it from the photographs. No such file is ever altered in place.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes
from torch import Tensor

from dgad.calibration.threshold import Calibration
from dgad.errors import MissingError, SettingsError, StoreError
from dgad.methods.base import Enrolled
from dgad.references.domain import DomainSettings, Reference, check_domain_name
from dgad.references.enrolled_files import IDS, drop_made_with, drop_oldest, file_name, metadata_of
from dgad.references.log import is_reference_id
from dgad.references.photographs import Photographs
from dgad.references.store import ReferenceStore

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
"""Part of every key: a file of another format is one that nobody asks for."""
NUM_KEPT = 8
"""Files of one domain: two bundles with some versions each to go back to."""
_SCORES = "calibration.scores"
_PREFIX = "enrolled."
_SCALARS = ("scheme", "guarantee", "num_compared", "map_low", "map_high", "map_limit")


def enrolled_key(bundle_id: str, references: Sequence[Reference], settings: DomainSettings) -> str:
    """64 hex digits that decide the content: the bundle, the photographs whatever their order, and those
    settings of the domain that matter."""
    decides = {
        "format_version": FORMAT_VERSION,
        "bundle_id": bundle_id,
        "references": sorted(r.id for r in references),
        "calibration": settings.calibration,
        "coreset": settings.coreset,
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


class EnrolledStore:
    """Loads and saves such files. Nothing here fails a score: what cannot be kept is made again."""

    def __init__(self, store: ReferenceStore) -> None:
        self._store = store
        self._place = store.place

    def load(self, domain: str, key: str) -> tuple[Enrolled, Calibration] | None:
        """What was saved under the key; None where it is missing or damaged.

        On a local disk the tensors are mapped, not read: they must not be written to.
        """
        name = _name(domain, key)
        try:
            found = self._open(name)
            if found is None:
                return None
            metadata, tensors = found
            if metadata["sha256"] != _checksum(metadata, tensors):
                raise ValueError("its checksum differs")
            values = json.loads(metadata["calibration"])
            calibration = Calibration(scores=tensors[_SCORES].numpy().astype(np.float64), **values)
            enrolled = Enrolled(
                method=metadata["method"],
                num_references=int(metadata["num_references"]),
                tensors={n.removeprefix(_PREFIX): t for n, t in tensors.items() if n != _SCORES},
            )
        except (
            StoreError, safetensors.SafetensorError, SettingsError, OSError, ValueError, KeyError, TypeError
        ) as error:  # fmt: skip
            logger.warning("%s is made again: %s", self._place.path(name), error)
            return None
        return enrolled, calibration

    def save(
        self, domain: str, key: str, enrolled: Enrolled, calibration: Calibration, ids: Sequence[str]
    ) -> None:
        """Keep it, unless one of the photographs it was made with (`ids`) is gone: purged meanwhile."""
        name = _name(domain, key)
        data = _encode(enrolled, calibration, ids)
        photographs = Photographs(self._place)
        try:
            self._store.head(domain)
            with self._place.locked(domain):
                if not photographs.ids(domain).issuperset(ids):
                    return
                self._place.write(name, data)
                # On an object store the one who purges may be another process, which no lock keeps off.
                if not self._place.is_local and not photographs.ids(domain).issuperset(ids):
                    self._place.delete([name])
                    return
                drop_oldest(self._place, domain, NUM_KEPT, name)
        except StoreError as error:
            logger.warning("Made, but not kept: %s", error)

    def drop(self, domain: str, reference_id: str) -> None:
        """Remove every file made with the photograph."""
        self._store.head(domain)
        with self._place.locked(domain):
            drop_made_with(self._place, domain, [reference_id])

    def _open(self, name: str) -> tuple[dict[str, str], dict[str, Tensor]] | None:
        if not self._place.is_local:
            data = self._place.read(name)
            return None if data is None else (metadata_of(data), load_bytes(data))
        if not self._place.exists(name):
            return None
        with safetensors.safe_open(self._place.path(name), framework="pt") as file:
            return dict(file.metadata() or {}), {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118


def _name(domain: str, key: str) -> str:
    check_domain_name(domain)
    if not is_reference_id(key):
        raise MissingError(f"{key[:80]!r} is no key of an enrolled state: it must be 64 hex digits.")
    return file_name(domain, key)


def _encode(enrolled: Enrolled, calibration: Calibration, ids: Sequence[str]) -> bytes:
    tensors = {f"{_PREFIX}{n}": t.detach().cpu().contiguous() for n, t in enrolled.tensors.items()}
    tensors[_SCORES] = torch.from_numpy(np.array(calibration.scores, dtype=np.float64))
    values: Mapping[str, Any] = {name: getattr(calibration, name) for name in _SCALARS}
    metadata = {
        "format_version": str(FORMAT_VERSION),
        "method": enrolled.method,
        "num_references": str(enrolled.num_references),
        "calibration": json.dumps(values),
        IDS: json.dumps(sorted(ids)),
    }
    metadata["sha256"] = _checksum(metadata, tensors)
    # Tensors that share memory are written apart.
    return save_bytes({n: t.clone() for n, t in tensors.items()}, metadata)


def _checksum(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the metadata but this entry, and every tensor's name, type, shape and bytes."""
    total = hashlib.sha256()
    total.update(json.dumps({k: v for k, v in metadata.items() if k != "sha256"}, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        if tensor.numel() > 0:  # torch cannot view an empty one as bytes
            total.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
