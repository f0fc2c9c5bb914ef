"""Evaluations of one ablation: jobs that are computed once, and the results file that remembers them."""

import dataclasses
import hashlib
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from dgad.domains import Dataset
from dgad.domains.geometry import Geometry
from dgad.domains.image_set import ImageSet
from dgad.errors import RecordError, SettingsError, TrainingError
from dgad.evaluation.experiment import Evaluation, evaluate_one
from dgad.evaluation.metrics import Metrics
from dgad.evaluation.scoring import TargetDomain, load_target
from dgad.features.builtin import read_builtin
from dgad.features.cache import FeatureCache
from dgad.methods.base import Context
from dgad.records import FitKey, Record, canonical_json
from dgad.settings import to_dict
from dgad.training.sources import SourceDomain, source_from

NAMED_WEIGHTS = ("none", "builtin", "timm")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One evaluation: one row on one weights choice, one target, one seed."""

    arm: str
    """METHOD@WEIGHTS."""
    evaluation: Evaluation
    """Of one label, one seed and a counted number of references."""
    key: FitKey

    @property
    def label(self) -> str:
        """The row."""
        return self.evaluation.labels[0]

    @property
    def target(self) -> str:
        """The domain to be scored."""
        return self.evaluation.fold.target

    @property
    def id(self) -> str:
        """The id of its record: data, weights, settings, references, seed and version decide it."""
        return self.record(status="failed").record_id

    def record(self, **outcome: Any) -> Record:
        """The record of this job with its outcome."""
        (count,) = self.evaluation.num_references
        assert isinstance(count, int)
        common: dict[str, Any] = {"fit": self.key, "label": self.arm, "role": "evaluate"}
        return Record(**common, target=self.target, num_references=count, **outcome)

    def context(self, cache: FeatureCache, device: torch.device) -> Context:
        """What its method runs with."""
        return Context(features=self.evaluation.features, device=device, cache=cache)


class DecodedData:
    """Every domain decoded once, when it is first asked for."""

    def __init__(self, dataset: Dataset, geometry: Geometry) -> None:
        self.dataset = dataset
        self.geometry = geometry
        self._targets: dict[str, TargetDomain] = {}

    def target(self, name: str) -> TargetDomain:
        """The domain as one to be scored."""
        if name not in self._targets:
            self._targets[name] = load_target(self.dataset.domain(name), self.geometry)
        return self._targets[name]

    def source(self, name: str) -> SourceDomain:
        """The domain as one to learn from."""
        target = self.target(name)
        images = [*target.normals.images, *target.queries.images]
        keys = (*target.normals.keys, *target.queries.keys)
        return source_from(self.dataset.domain(name), ImageSet(images=images, keys=keys))


def run(jobs: Sequence[Job], dataset: Dataset, device: torch.device, out: Path | None) -> tuple[Record, ...]:
    """The records of all jobs: those in `out`, and what is missing, computed and appended."""
    kept = {r.record_id: r for r in read_results(out)} if out else {}
    found = {job.id: dataclasses.replace(kept[job.id], label=job.arm) for job in jobs if job.id in kept}
    missing = [job for job in jobs if job.id not in found]
    tell(f"{len(jobs)} evaluations, {len(found)} of them done before.")
    if not missing:
        return tuple(found.values())
    data = DecodedData(dataset, missing[0].evaluation.features.geometry)
    cache = FeatureCache()
    for number, job in enumerate(missing, start=1):
        place = f"[{number}/{len(missing)}] {job.arm}, {job.target}, seed {job.key.seed}"
        started = time.perf_counter()
        try:
            record = evaluated(job, data, cache, device)
        except TrainingError as error:
            tell(f"{place}: failed: {error}")
            continue
        found[job.id] = record
        if out:
            append_result(out, record)
        figures = f"image {figure(record.metrics.image_auroc)}, pixel {figure(record.metrics.pixel_auroc)}"
        tell(f"{place}: {figures} ({time.perf_counter() - started:.1f} s)")
    return tuple(found.values())


def evaluated(job: Job, data: DecodedData, cache: FeatureCache, device: torch.device) -> Record:
    """Fit and score one job."""
    sources = [data.source(name) for name in job.key.sources]
    target = data.target(job.target)
    context = job.context(cache, device)
    (result,) = evaluate_one(job.evaluation, job.label, job.key.seed, sources, target, context)
    scores = result.scores
    # A method that trains on the target's references does so when they are enrolled.
    trains_later = result.fitted.traits.trains_at_enrolment
    return job.record(
        status="ok",
        metrics=scores.metrics,
        sample_ids=scores.sample_ids,
        labels=scores.labels,
        kinds=scores.kinds,
        image_scores=scores.image_scores,
        reference_ids=scores.reference_ids,
        ms_per_image=scores.ms_per_image if math.isfinite(scores.ms_per_image) else None,
        fit_s=result.fit_s + (scores.enroll_s if trains_later else 0.0),
        device=str(device),
    )


def append_result(path: Path, record: Record) -> None:
    """One line more."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(canonical_json(to_dict(record)) + "\n")


def read_results(path: Path) -> Iterator[Record]:
    """The records of a results file; a last line that was cut off is removed from it."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        tell(f"The last line of {path} was cut off and is removed.")
        with open(path, "r+b") as file:
            file.truncate(whole)
    for number, line in enumerate(data[:whole].decode().splitlines(), start=1):
        try:
            values = json.loads(line)
            fit, metrics = FitKey(**values.pop("fit")), Metrics(**values.pop("metrics"))
            yield Record(fit=fit, metrics=metrics, **values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RecordError(f"{path}, line {number} is no result of this benchmark: {error}.") from error


def weights_name(weights: str) -> str:
    """What tables call a weights choice: its word, or the file's name without ending."""
    return weights if weights in NAMED_WEIGHTS else Path(weights).stem


def weights_identity(weights: str) -> str:
    """The word, for a file and for the builtin weights with the sum of what is in them."""
    if weights == "builtin":
        return canonical_json({"builtin": read_builtin().info.sha256})
    if weights in NAMED_WEIGHTS:
        return weights
    try:
        return hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    except OSError as error:
        raise SettingsError(f"The weights file {weights} cannot be read: {error.strerror}.") from error


def figure(value: float | None) -> str:
    """`.923`, or a dash."""
    return "-" if value is None else f"{value:.3f}".removeprefix("0")


def tell(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)
