"""What one process needs to fit and score: data, feature cache, stores, and one way to use them."""

import dataclasses
import functools
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch

from dgad.device import is_out_of_memory, release_memory
from dgad.domains.base import Sample
from dgad.errors import DgadError, RecordError
from dgad.evaluation.scoring import (
    TargetDomain,
    TargetScores,
    count_references,
    parse_num_references,
    score_target,
)
from dgad.features.cache import FeatureCache
from dgad.methods import METHODS
from dgad.methods.base import Context, Method
from dgad.provenance import utc_now
from dgad.records import FitKey, Record, RecordStore, record_id_for
from dgad.settings import from_dict
from dgad.storage import Storage
from tune.caches.features import open_cache
from tune.fits.coordinator import open_leases
from tune.fits.decoded import DecodedDomains
from tune.fits.run import Run, read_fit_features
from tune.fits.store import FitStore
from tune.run_folder.layout import LOGS_FOLDER
from tune.study.data import open_data

MAX_RETRIES = 2
_T = TypeVar("_T")
_FIT_ERRORS = (DgadError, RuntimeError, ValueError, ArithmeticError, MemoryError)
"""What makes a fit a failed record: ours, and what torch raises. Anything else is a defect of the code."""


class FitExecutor:
    """Fits, scores and records of one process; keeps data and frozen features for its lifetime.

    A record or fit that any study beside this one has, under the same content address, is read. A failure
    of ours (`DgadError`) would fail again; another one, such as memory that ran out, is tried
    `MAX_RETRIES` times more, with half the queries scored at once where it was memory. Storage that cannot be
    read or written is neither: that `RecordError` is raised.
    """

    def __init__(self, run: Run) -> None:
        torch.set_num_threads(run.num_threads)
        self.run = run
        self.fits = FitStore(
            run.fits_location,
            study=run.study.name,
            retry_failures_before=run.retry_failures_before,
            leases=open_leases(run),
        )
        self.store = Storage(run.store)
        self.records = RecordStore(run.records_location)
        self._shared_records = RecordStore(run.shared_records_location)
        self._dataset = open_data(run.study, run.data, run.disk_cache).dataset
        self._decoded = DecodedDomains(self._dataset, max_bytes=run.cache_bytes)
        self._context = Context(
            features=run.study.features,
            device=torch.device(run.device),
            cache=FeatureCache(
                max_bytes=run.cache_bytes,
                disk=None
                if run.disk_cache is None
                else open_cache(run.disk_cache, code_version=run.code_version, device=run.device),
            ),
        )

    def record(
        self, key: FitKey, target: str, *, label: str, role: str, num_references: str | None = None
    ) -> Record:
        """The record of a fit on a target: read if it is there and ok, else computed and written."""
        record_id = self.record_id(key, target, num_references)
        kept = self.records.read(record_id)
        if kept is not None and kept.status == "ok":
            return kept
        elsewhere = self._shared_records.read(record_id) if self._is_shared(target) else None
        if elsewhere is not None and elsewhere.status == "ok":
            self.records.write(elsewhere)
            return elsewhere
        return self.score(key, target, label=label, role=role, num_references=num_references)[0]

    def score(
        self, key: FitKey, target: str, *, label: str, role: str, num_references: str | None = None
    ) -> tuple[Record, TargetScores | None]:
        """Fit or load, score the target, write the record; a failure is a record too, and has no scores.

        `num_references` is the study's unless given.
        """
        count = self._num_references(target, num_references)
        notes: list[str] = []
        make_record = functools.partial(
            Record,
            fit=key,
            label=label,
            role=role,
            target=target,
            num_references=count,
            device=self.run.device,
        )

        def attempt() -> tuple[TargetScores, float]:
            method, fit_s = self.fitted(key)
            queries = self.target(target, key)
            return score_target(method, queries, num_references=count, seed=key.seed), fit_s

        try:
            scores, fit_s = self._with_retries(attempt, notes)
        except RecordError:  # the storage's trouble, and no finding about these settings
            raise
        except _FIT_ERRORS as error:
            record = make_record(
                status="failed",
                error=_describe_error(error),
                log=self._log(record_id_for(key, target, count)),
                notes=tuple(notes),
            )
            self.records.write(record)
            return record, None
        record = make_record(
            status="ok",
            metrics=scores.metrics,
            sample_ids=scores.sample_ids,
            labels=tuple(scores.labels.tolist()),
            kinds=scores.kinds,
            image_scores=tuple(scores.image_scores.tolist()),
            reference_ids=scores.reference_ids,
            ms_per_image=scores.ms_per_image,
            ms_per_megapixel=scores.ms_per_megapixel,
            fit_s=fit_s,
            notes=tuple(notes),
        )
        self.records.write(record)
        if self._is_shared(target):
            self._shared_records.write(record)
        return record, scores

    def _is_shared(self, target: str) -> bool:
        """Whether the fit's address tells of the target's images too: not of those of another data set."""
        return target not in self.run.extra_targets

    def fitted(self, key: FitKey) -> tuple[Method, float]:
        """The fitted method and the seconds its fit took, whoever computed it."""
        settings_type = METHODS[key.method].settings_type
        features = read_fit_features(key)
        # The cache is one for all features: it knows their maps apart, and its bound is of all of them.
        context = dataclasses.replace(self._context, features=features)
        method = METHODS[key.method](from_dict(settings_type, key.settings), context)

        def compute() -> Mapping[str, torch.Tensor]:
            sources = [self._decoded.source(name, key.split, features.geometry) for name in key.sources]
            method.fit(sources, seed=key.seed)
            return method.state()

        stored = self.fits.get(key, compute)
        if stored.was_stored:
            method.load_state(stored.state)
        return method, stored.fit_s

    def try_fit(self, key: FitKey) -> str | None:
        """Make sure that the fit is there; why not, where it failed."""
        try:
            self._with_retries(lambda: self.fitted(key), [])
        except RecordError:
            raise
        except _FIT_ERRORS as error:
            return f"{_describe_error(error)} (traceback: {self._log(key.id)})"
        return None

    def _with_retries(self, attempt: Callable[[], _T], notes: list[str]) -> _T:
        """What `attempt` returns; what went wrong before that is added to `notes`."""
        for _ in range(MAX_RETRIES):
            try:
                return attempt()
            except DgadError:
                raise
            except _FIT_ERRORS as error:
                notes.append(_describe_error(error))
                if is_out_of_memory(error):
                    self._score_fewer_at_once(notes)
        return attempt()

    def _score_fewer_at_once(self, notes: list[str]) -> None:
        """Half as many queries in memory, for the lifetime of this process: no result depends on it."""
        release_memory()
        batch = max(1, self._context.scoring_batch // 2)
        self._context = dataclasses.replace(self._context, scoring_batch=batch)
        notes.append(f"memory ran out; tried again with {batch} queries scored at once")

    def _log(self, name: str) -> str:
        """Keep the traceback of the exception being handled; where, relative to the run folder."""
        path = f"{LOGS_FOLDER}/{name}.log"
        self.store.write(path, f"{utc_now()}\n{traceback.format_exc()}".encode())
        return path

    def record_id(self, key: FitKey, target: str, num_references: str | None = None) -> str:
        """The id the record of this fit on this target has."""
        return record_id_for(key, target, self._num_references(target, num_references))

    def target(self, name: str, key: FitKey) -> TargetDomain:
        """A target as a fit sees it, decoded and kept: at its scale, and images that it never saw."""
        return self._decoded.target(name, key.split, read_fit_features(key).geometry)

    def samples(self, name: str) -> Mapping[str, Sample]:
        """The samples of a domain by id, none of them decoded."""
        return {s.id: s for s in self._dataset.domain(name).samples}

    def _num_references(self, target: str, asked: str | None = None) -> int:
        wanted = parse_num_references(asked or self.run.study.num_references)
        return count_references(target, len(self._dataset.domain(target).train_normals), wanted)


def _describe_error(error: Exception) -> str:
    """Ours as it is; another library's with its type and the place it came from."""
    if isinstance(error, DgadError):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(frame.filename).name}, line {frame.lineno})"
