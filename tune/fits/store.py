"""Finished fits by content address: computed once, whichever study wants them, whenever it comes back.

`fits/ID/{weights.safetensors, fit.json}`: weights first, then `fit.json`, which carries their sum, so that a
fit is there whole or not at all on an object store too. A lease per fit keeps a second worker waiting until
the first is done.
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from dgad.errors import DgadError, RecordError, TrainingError
from dgad.provenance import utc_now
from dgad.records import FitKey
from dgad.storage import Storage
from tune.fits.leases import FileLeases, Leases
from tune.run_folder.layout import FIT_FILE, FIT_LOCKS_FOLDER, FIT_WEIGHTS_FILE

FORMAT_VERSION = 2
"""The version that this code writes, and the only one that it reads."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StoredFit:
    """What `Method.load_state` needs, and what it cost."""

    state: Mapping[str, Tensor]
    fit_s: float
    was_stored: bool
    """Read, not computed, by this call."""


class FitStore:
    """Fits of all studies of a place: a folder, or a URI of any pyarrow filesystem."""

    def __init__(
        self,
        location: str | Path,
        *,
        study: str = "",
        retry_failures_before: str = "",
        leases: Leases | None = None,
    ) -> None:
        """`leases` are lock files unless told, which a URI does not have: `RecordError`."""
        self._storage = Storage(location)
        if leases is None and not self._storage.is_local:
            raise RecordError(f"Fits at {self._storage.location} are leased by a keeper, and none runs.")
        self._leases = leases or FileLeases(Path(self._storage.location) / FIT_LOCKS_FOLDER)
        self.retry_failures_before = retry_failures_before
        """Failures older than this moment (UTC, ISO 8601) are tried again; empty: none is."""
        self.study = study
        """Who computes: kept with every fit."""
        self.computed: list[str] = []
        """Ids of the fits that this object has computed, failed ones among them."""

    def get(self, key: FitKey, compute: Callable[[], Mapping[str, Tensor]]) -> StoredFit:
        """The fit of `key`, computed if nobody has; waits for a worker that is at it.

        A `DgadError` of `compute` is kept too and raised again for whoever asks next, as `TrainingError`.
        Other errors (out of memory) may be passing, so they are not kept.
        """
        stored = self._read(key)  # most are there already, and then nobody need be asked for a turn
        if stored is not None:
            return stored
        with self._leases.hold(key.id):
            stored = self._read(key)
            if stored is not None:
                return stored
            self.computed.append(key.id)
            started = time.perf_counter()
            try:
                state = compute()
            except DgadError as error:
                self._write(key, {"status": "failed", "error": str(error)}, {})
                raise
            fit_s = time.perf_counter() - started
            self._write(key, {"status": "ok", "fit_s": fit_s}, state)
            return StoredFit(state=state, fit_s=fit_s, was_stored=False)

    def ids(self) -> tuple[str, ...]:
        """The ids of all finished fits, failed ones among them."""
        names = self._storage.sizes(deep=True)
        return tuple(sorted(n.partition("/")[0] for n in names if n.endswith(f"/{FIT_FILE}")))

    def has(self, fit_id: str) -> bool:
        """Whether the fit is finished, or failed."""
        return self._storage.exists(f"{fit_id}/{FIT_FILE}")

    def read_description(self, fit_id: str) -> dict[str, Any] | None:
        """What is known of a fit without its weights; None where it is not there, or damaged."""
        data = self._storage.read(f"{fit_id}/{FIT_FILE}")
        try:
            about = None if data is None else json.loads(data)
            if not isinstance(about, dict):
                return None
            version = int(about.get("format_version", 1))
        except (ValueError, TypeError):
            return None
        if version < FORMAT_VERSION:
            raise RecordError(
                f"The fit {self._storage.path(fit_id)} was made by a development version of dgad: delete it,"
                " and run the study again."
            )
        if version > FORMAT_VERSION:
            raise RecordError(
                f"The fit {self._storage.path(fit_id)} has format version {about['format_version']}, but this"
                f" dgad reads up to {FORMAT_VERSION}: update dgad."
            )
        return about

    def _read(self, key: FitKey) -> StoredFit | None:
        """None where it is not there, or damaged, and so computed afresh."""
        about = self.read_description(key.id)
        if about is None:
            return None
        try:
            if about["status"] == "failed" and about["created_at"] < self.retry_failures_before:
                return None
            if about["status"] == "failed":
                raise TrainingError(about["error"])
            data = self._storage.read(f"{key.id}/{FIT_WEIGHTS_FILE}")
            if data is None or about["weights_sha256"] != _sum(data):
                return None
            return StoredFit(state=load(data), fit_s=about["fit_s"], was_stored=True)
        except (ValueError, KeyError, SafetensorError):
            return None

    def _write(self, key: FitKey, outcome: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
        data = save({k: v.contiguous() for k, v in state.items()})
        about = {
            "format_version": FORMAT_VERSION,
            "id": key.id,
            "key": dataclasses.asdict(key),
            "created_at": utc_now(),
            "study": self.study,
            "weights_sha256": _sum(data),
            **outcome,
        }
        self._storage.write(f"{key.id}/{FIT_WEIGHTS_FILE}", data)
        self._storage.write(f"{key.id}/{FIT_FILE}", json.dumps(about, indent=2).encode())


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
