"""One study being run, as every worker gets it, and the version of the code that its figures depend on."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dgad
from dgad.features.builtin import INFO_FILE
from dgad.features.settings import FeatureSettings, read_features
from dgad.methods import METHODS
from dgad.provenance import current_versions, digest_deciding_code
from dgad.records import FitKey
from dgad.settings import from_dict, to_dict
from dgad.storage import Storage
from tune.caches.features import CachePlan
from tune.run_folder.layout import FITS_FOLDER, JOURNALS_FOLDER, LEDGER_FOLDER, RECORDS_FOLDER, SHARED_FOLDER
from tune.study.settings import Study

_WEIGHTS_SUM, _SECOND_SUM = "weights_sha256", "second_weights_sha256"
"""Beside the features of a fit: the sum of the backbone's weights file."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One study being run, as every worker gets it."""

    folder: Path
    """Of the driver, which alone writes there; a local working folder where the study is kept at a URI."""
    store: str
    """What workers share: the same folder, or the study's place at a URI."""
    study: Study
    data: str
    """Where the data is: the study's, or the demo's in the run folder."""
    domains: tuple[str, ...]
    extra_targets: tuple[str, ...] = ()
    """Of another data set: scored by winners that were fitted on all of `domains`, and nothing else."""
    extra_fingerprint: str = ""
    data_fingerprint: str
    code_version: str
    weights_sha256: str = ""
    """Of the backbone's weights file; empty without one."""
    searched_weights_sha256: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Of further weights files that the study searches, by path."""
    device: str
    num_threads: int
    """torch threads per worker."""
    cache_bytes: int
    """Bound of each worker's feature cache in memory."""
    disk_cache: CachePlan | None = None
    """The feature cache that the workers of a node share, or None."""

    retry_failures_before: str = ""
    """Fits that failed before this moment (UTC, ISO 8601) are tried again."""
    coordinator: str | None = None
    """The actor that orders the ledger and leases fits; None where files do, on one machine."""

    @property
    def ledger_location(self) -> str:
        """Reads of labels, in order."""
        return self._place(LEDGER_FOLDER)

    @property
    def records_location(self) -> str:
        """One file per fit and scored domain."""
        return self._place(RECORDS_FOLDER)

    @property
    def shared_records_location(self) -> str:
        """Records by content address, for every study beside this one."""
        return self._beside(RECORDS_FOLDER)

    @property
    def fits_location(self) -> str:
        """Weights of every fit, for every study beside this one."""
        return self._beside(FITS_FOLDER)

    def _place(self, name: str) -> str:
        return Storage(self.store).child(name).location

    def _beside(self, name: str) -> str:
        return Storage(self.store).sibling(SHARED_FOLDER).child(name).location

    @property
    def journals_folder(self) -> Path:
        """One Optuna journal per cell."""
        return self.folder / JOURNALS_FOLDER

    def fit_key(
        self,
        method: str,
        configuration: Mapping[str, Any],
        sources: Sequence[str],
        *,
        seed: int | None = None,
        split: str = "all",
    ) -> FitKey:
        """The content address of a fit; one that learns nothing is the same for any sources.

        `configuration` holds settings of the method, and features where the study searches them.
        """
        settings, features = self.study.split(configuration)
        chosen = from_dict(METHODS[method].settings_type, settings)
        learns = METHODS[method].traits_of(chosen).learns
        names = (_WEIGHTS_SUM, _SECOND_SUM)  # of one backbone the first
        sums = {n: self._weights_sum(own.weights) for n, own in zip(names, features.each, strict=False)}
        return FitKey(
            method=method,
            settings=settings,
            features=to_dict(features) | {name: value for name, value in sums.items() if value},
            sources=tuple(sources) if learns else (),
            data_fingerprint=self.data_fingerprint,
            seed=self.study.seed if seed is None else seed,
            code_version=self.code_version,
            split=split,
        )

    def _weights_sum(self, weights: str) -> str:
        """Of a weights file; empty for other weights."""
        if weights == self.study.weights:
            return self.weights_sha256
        return self.searched_weights_sha256.get(weights, "")


def read_fit_features(key: FitKey) -> FeatureSettings:
    """The features of a fit."""
    return read_features({k: v for k, v in key.features.items() if k not in (_WEIGHTS_SUM, _SECOND_SUM)})


def compute_code_version() -> str:
    """The version and a hash of the code and weights that decide fits and scores: changed ones refit."""
    shipped = Path(dgad.__file__).parent / "weights" / INFO_FILE  # names the sums of the weights beside it
    weights = shipped.read_bytes() if shipped.is_file() else b""
    digest = hashlib.sha256(digest_deciding_code().encode() + weights)
    return f"{current_versions()['dgad']}+{digest.hexdigest()[:12]}"
