"""Scoring queries of many domains with one resident model; neither Ray nor HTTP.

A batch's queries go through the backbone first, each normalised as its domain's references are, and then each
domain's are compared with its references. States of domains are fetched when they are first asked for, and
the least recently used ones go.
"""

import dataclasses
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from dgad.bundle import load_method, read_bundle
from dgad.device import resolve_device
from dgad.domains.geometry import Geometry
from dgad.domains.image_set import ImageSet
from dgad.domains.region import RegionOfInterest
from dgad.errors import ConflictError, DataError, MissingError, StoreError, UserError
from dgad.evaluation.regions import regions
from dgad.features.cache import FeatureCache
from dgad.methods.base import Scores
from dgad.references.domain import Change
from dgad.references.store import ReferenceStore
from serve.engine.backend import Outcome, Query, Threshold, Verdict, WrongScale
from serve.engine.bundle import fetch_bundle
from serve.engine.states import EnrolledStates, State, derive_threshold
from serve.settings import ServeSettings

_CACHE_BYTES = 256 * 2**20
"""Of features. References are kept as states, so it needs to hold the queries of a batch and little more;
a scorer that has to make a state itself keeps the references' here meanwhile."""
_TRIES = 3
_StateSource = Literal["hit", "loaded", "made"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Resident:
    change: Change
    state: State
    names: Mapping[str, str]
    """Of the references, by their ids."""


class SurfaceScorer:
    """Scores queries with one bundle against one store; calls from several threads are serialised."""

    def __init__(
        self,
        bundle: str | Path,
        store: str,
        *,
        device: str = "auto",
        max_resident_domains: int = 64,
        on_state: Callable[[_StateSource], None] = lambda source: None,
    ) -> None:
        """Check every checksum of the bundle (`BundleError`), load its method and open the store.

        `on_state` hears where each state that is asked for comes from.
        """
        info = read_bundle(bundle)
        self._method = load_method(bundle, resolve_device(device), FeatureCache(_CACHE_BYTES))
        self._store = ReferenceStore(store)
        self._states = EnrolledStates(self._method, info.bundle_id, self._store)
        self._residents: OrderedDict[str, _Resident] = OrderedDict()
        self._max_resident_domains = max_resident_domains
        self._on_state = on_state
        self._lock = threading.Lock()
        geometry = self._method.context.features.geometry
        self.description: Mapping[str, Any] = {
            "bundle_id": info.bundle_id,
            "method": self._method.name,
            "title": self._method.title,
            "scale": geometry.scale,
            "tile_px": geometry.tile_px,
            "image_size_px": geometry.input_px if geometry.parsed_scale.kind == "squash" else None,
            "device": str(self._method.context.device),
            "created_at": info.created_at,
            "training_domains": list(info.training_domains),
        }

    def warm(self) -> None:
        """Enrol and score noise, so that no request waits for libraries to load and memory to grow."""
        size = self._method.context.features.geometry.drawn_px
        noise = torch.randint(0, 256, (4, 3, size, size), generator=torch.Generator().manual_seed(0))
        images = noise.to(torch.uint8)
        with self._lock:
            enrolled = self._method.enroll(ImageSet(images=images[:1].unbind(0)))
            for count in (1, len(images)):
                self._method.score(ImageSet(images=images[:count].unbind(0)), enrolled)

    def score(self, queries: Sequence[Query]) -> list[Outcome | WrongScale | UserError]:
        """Score a batch: one answer per query, in order, a `UserError` for each that cannot be scored.

        `WrongScale` for one that was scaled for another bundle.
        """
        answers: list[Outcome | WrongScale | UserError | None] = [None] * len(queries)
        by_domain: dict[str, list[int]] = {}
        for i, query in enumerate(queries):
            if (error := self._check_query(query)) is not None:
                answers[i] = error
            else:
                by_domain.setdefault(query.domain, []).append(i)
        with self._lock:
            residents: dict[str, _Resident] = {}
            for domain, group in by_domain.items():
                try:
                    residents[domain] = self._load_resident(domain, max(queries[i].sequence for i in group))
                except UserError as error:
                    for i in group:
                        answers[i] = error
            found = [(i, resident) for domain, resident in residents.items() for i in by_domain[domain]]
            self._method.prepare(
                _gather_images([queries[i] for i, _ in found]),
                [resident.state.enrolled for _, resident in found],
            )
            for domain, resident in residents.items():
                group = by_domain[domain]
                try:
                    scored = self._score_domain(resident, [queries[i] for i in group])
                except UserError as error:
                    scored = [error for _ in group]
                for i, answer in zip(group, scored, strict=True):
                    answers[i] = answer
        return [answer for answer in answers if answer is not None]

    def threshold(self, domain: str, sequence: int) -> Threshold | None:
        """Return the domain's threshold, as of its change `sequence` or a later one.

        None while it has no references. `MissingError` where there is no such domain.
        """
        with self._lock:
            try:
                resident = self._load_resident(domain, sequence)
            except ConflictError:
                return None
            return derive_threshold(resident.state.calibration, resident.change.settings.false_alarm_rate)

    def forget_purged(self) -> None:
        """Drop what is in memory of references that a domain no longer has, also where nobody asks for it.

        For any thread; scoring does not wait for the store meanwhile.
        """
        self._store.forget()
        for domain, resident in list(self._residents.items()):
            try:
                has_lost = _lost(resident.change, self._store.head(domain))
            except MissingError:
                has_lost = True
            except StoreError:  # out of reach for the moment
                continue
            if has_lost:
                with self._lock:
                    self._drop(domain)

    def _drop(self, domain: str) -> None:
        if self._residents.pop(domain, None) is not None:
            self._states.forget()

    def _check_query(self, query: Query) -> UserError | None:
        size = Geometry(scale=query.scale).scaled_size(query.height_px, query.width_px)
        if query.image.shape == (3, *size) and query.image.dtype == np.uint8:
            return None
        return DataError(
            f"A photograph of {query.width_px} x {query.height_px} px must be given to the scorer as uint8 of"
            f" shape {(3, *size)}, but got {query.image.dtype} {query.image.shape}."
        )

    def _score_domain(
        self, resident: _Resident, queries: Sequence[Query]
    ) -> list[Outcome | WrongScale | UserError]:
        checked = [
            _check_bit_depth(query, resident.change)
            or self._check_scale(query, resident.change)
            or _check_region(query, resident.change)
            for query in queries
        ]
        fitting = [query for query, wrong in zip(queries, checked, strict=True) if wrong is None]
        scores = self._method.score(
            _gather_images(fitting, resident.change.settings.region_of_interest), resident.state.enrolled
        )
        threshold = derive_threshold(resident.state.calibration, resident.change.settings.false_alarm_rate)
        made = (self._make_outcome(query, scores, i, resident, threshold) for i, query in enumerate(fitting))
        return [next(made) if wrong is None else wrong for wrong in checked]

    def _check_scale(self, query: Query, change: Change) -> WrongScale | ConflictError | None:
        """What a query is answered that is not at the scale of the references."""
        own = str(self.description["scale"])
        stated = change.settings.scale
        if Geometry(scale=query.scale).key == Geometry(scale=stated or own).key:
            return None
        if stated is None:
            return WrongScale(scale=own)
        return ConflictError(
            f"The scale of domain {query.domain!r} became `{stated}` meanwhile: send the photograph again."
        )

    def _make_outcome(
        self, query: Query, scores: Scores, index: int, resident: _Resident, threshold: Threshold
    ) -> Outcome | UserError:
        score = float(scores.image[index])
        if not math.isfinite(score):
            return DataError(f"The method gives this image the score {score}, which means nothing.")
        calibration, change = resident.state.calibration, resident.change
        heat = None if scores.pixels is None else scores.pixels[index].numpy()
        verdict: Verdict = "uncalibrated"
        if threshold.value is not None:
            verdict = "abnormal" if score > threshold.value else "normal"
        found = (
            ()
            if heat is None
            else regions(heat, calibration.map_limit, width_px=query.width_px, height_px=query.height_px)
        )
        return Outcome(
            score=score,
            p_value=calibration.p_value(score),
            verdict=verdict,
            threshold=threshold,
            levels=() if scores.levels is None else tuple(scores.levels[index].tolist()),
            regions=found,
            # A copy: a view would keep the maps of the whole batch.
            heat=heat.copy() if heat is not None and query.wants_map else None,
            heat_low=calibration.map_low,
            heat_high=calibration.map_high,
            version=change.version,
            bundle_id=str(self.description["bundle_id"]),
            num_enrolled=len(change.references),
            same_as_reference=resident.names.get(query.key.partition("-")[0]),
        )

    def _load_resident(self, domain: str, sequence: int) -> _Resident:
        """The domain as of its newest change, or of one that is not older than `sequence`.

        Who asks has looked at the log already: if that is the change at hand, nobody needs to look again.
        """
        resident = self._residents.get(domain)
        if resident is not None and resident.change.sequence >= sequence > 0:
            self._residents.move_to_end(domain)
            self._on_state("hit")
            return resident
        for attempt in range(1, _TRIES + 1):
            try:
                change = self._store.head(domain)
            except MissingError:
                self._drop(domain)
                raise
            if change.sequence < sequence:
                raise StoreError(
                    f"Change {sequence} of domain {domain!r} has been seen elsewhere, but here the last one"
                    f" is {change.sequence}: every part of a service must be given the same store."
                )
            if not change.references:
                raise ConflictError(f"Domain {domain!r} has no references yet: enrol some photographs first.")
            try:
                state = self._load_state(domain, change)
                break
            except MissingError:  # a photograph was purged since the log was read
                if attempt == _TRIES:
                    raise
        names = {r.id: r.name for r in change.references}
        resident = _Resident(change=change, state=state, names=names)
        self._residents[domain] = resident
        self._residents.move_to_end(domain)
        while len(self._residents) > self._max_resident_domains:
            self._residents.popitem(last=False)
        return resident

    def _load_state(self, domain: str, change: Change) -> State:
        kept = self._residents.get(domain)
        if kept is not None and kept.state.key == self._states.make_key(change.references, change.settings):
            self._on_state("hit")
            return kept.state
        state = self._states.fetch(domain, change.references, change.settings)
        if state is not None:
            self._on_state("loaded")
            return state
        self._on_state("made")
        return self._states.fetch_or_make(domain, change.references, change.settings)


def _lost(before: Change, after: Change) -> bool:
    """Whether a reference has gone."""
    return not {r.id for r in before.references} <= {r.id for r in after.references}


def warm_scorer(
    settings: ServeSettings, on_state: Callable[[_StateSource], None] = lambda source: None
) -> SurfaceScorer:
    """Make the scorer of these settings and warm it, in the thread that will score.

    OpenMP keeps a pool for each that ever computed, and with more threads than cores none of them waits awake
    between two layers.
    """
    scorer = SurfaceScorer(
        fetch_bundle(settings.bundle),
        settings.store,
        device=settings.device,
        max_resident_domains=settings.max_resident_domains,
        on_state=on_state,
    )
    scorer.warm()
    return scorer


def _check_bit_depth(query: Query, change: Change) -> ConflictError | None:
    """Why a query was not read as the references are: the domain's settings may change meanwhile."""
    stated = change.settings.bit_depth
    if stated is None or query.bit_depth == stated:
        return None
    return ConflictError(
        f"The bit depth of domain {query.domain!r} became {stated} meanwhile: send the photograph again."
    )


def _check_region(query: Query, change: Change) -> DataError | None:
    """Why the region of interest is not one of this photograph."""
    region = query.region or change.settings.region_of_interest
    try:
        if region is not None:
            region.check_fits(query.height_px, query.width_px)
    except DataError as error:
        return error
    return None


def _gather_images(queries: Sequence[Query], region: RegionOfInterest | None = None) -> ImageSet:
    """The photographs, of which the domain's region counts where a query brings none of its own."""
    images = [torch.from_numpy(q.image) for q in queries]
    regions = tuple(q.region or region for q in queries)
    return ImageSet(
        images=images,
        keys=tuple(q.key for q in queries),
        regions=regions if any(r is not None for r in regions) else (),
    )
