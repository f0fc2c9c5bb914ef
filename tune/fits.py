"""Finished fits by content address: computed once, whichever study wants them, whenever it comes back.

`fits/ID/{fit.json, weights.safetensors}`; a lock file per fit, freed by the system when its holder dies,
keeps a second worker waiting until the first is done.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dgad.errors import DgadError, TrainingError
from dgad.files import replace_folder_atomic
from dgad.records import FitKey, utc_now

FORMAT_VERSION = 1
WEIGHTS = "weights.safetensors"
ABOUT = "fit.json"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StoredFit:
    """What `Method.load_state` needs, and what it cost."""

    state: Mapping[str, Tensor]
    fit_s: float
    was_stored: bool
    """Read, not computed, by this call."""


class FitStore:
    """Fits of all studies of a runs folder, on a local disk."""

    def __init__(self, folder: Path, *, study: str = "", retry_failures_before: str = "") -> None:
        self.folder = folder
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
        locks = self.folder / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / f"{key.id}.lock"):
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
        return tuple(sorted(p.parent.name for p in self.folder.glob(f"*/{ABOUT}")))

    def about(self, fit_id: str) -> dict[str, Any] | None:
        """What is known of a fit without its weights; None where it is not there, or damaged."""
        try:
            about: dict[str, Any] = json.loads((self.folder / fit_id / ABOUT).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return about

    def _read(self, key: FitKey) -> StoredFit | None:
        folder = self.folder / key.id
        try:
            about: dict[str, Any] = json.loads((folder / ABOUT).read_bytes())
            if about["status"] == "failed" and about["created_at"] < self.retry_failures_before:
                return None
            if about["status"] == "failed":
                raise TrainingError(about["error"])
            return StoredFit(state=load_file(folder / WEIGHTS), fit_s=about["fit_s"], was_stored=True)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, SafetensorError):  # damaged on disk: computed afresh
            return None

    def _write(self, key: FitKey, outcome: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
        about = {
            "format_version": FORMAT_VERSION,
            "id": key.id,
            "key": dataclasses.asdict(key),
            "created_at": utc_now(),
            "study": self.study,
            **outcome,
        }
        with replace_folder_atomic(self.folder / key.id) as folder:
            save_file({k: v.contiguous() for k, v in state.items()}, folder / WEIGHTS)
            (folder / ABOUT).write_text(json.dumps(about, indent=2))
