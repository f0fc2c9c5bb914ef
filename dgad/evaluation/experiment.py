"""One leave-one-domain-out fold for several methods on equal terms: what `dgad evaluate` runs."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from dgad.domains.base import Dataset
from dgad.errors import DataError, TrainingError, UserError
from dgad.evaluation.scoring import (
    NumReferences,
    TargetDomain,
    TargetScores,
    check_queries,
    count_references,
    load_target,
    score_target,
)
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.folds import Fold
from dgad.methods import METHODS, parse_method
from dgad.methods.base import Context, Method, Traits
from dgad.training.sources import SourceDomain, check_sources, load_source


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One fold, several methods: everything that decides the figures."""

    fold: Fold
    labels: tuple[str, ...]
    """Methods as `name` or `name:variant`."""
    num_references: tuple[NumReferences, ...]
    """Each is enrolled in turn; of one seed a smaller draw is part of a larger one."""
    seeds: tuple[int, ...]
    features: FeatureSettings
    variants: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings by label, where they are not a preset."""

    def settings_of(self, label: str) -> tuple[str, Any]:
        """(registry name, settings) of a label."""
        if label in self.variants:
            return label.partition(":")[0], self.variants[label]
        name, _, settings = parse_method(label)
        return name, settings


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One method's row for one seed and one number of references."""

    label: str
    seed: int
    num_references: int
    fit_s: float
    scores: TargetScores
    fitted: Method


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A method whose training broke off with one seed."""

    label: str
    seed: int
    message: str


def evaluate(
    dataset: Dataset,
    evaluation: Evaluation,
    *,
    device: torch.device,
    compiled: bool = False,
    progress: Callable[[str, int, int, float], None] = lambda stage, step, total, loss: None,
) -> Iterator[Result | Failure]:
    """Fit every method with every seed, once, and score it with each number of references.

    Checks everything before it computes anything. A training that breaks off takes no other row with it.
    """
    fold = evaluation.fold
    check_evaluation(dataset, evaluation)
    geometry = evaluation.features.geometry
    target = load_target(dataset.domain(fold.target), geometry)
    learns = any(_traits(evaluation, label).learns for label in evaluation.labels)
    sources = [load_source(dataset.domain(name), geometry) for name in fold.sources] if learns else []
    context = Context(
        features=evaluation.features,
        device=device,
        cache=FeatureCache(),
        compiled=compiled,
        progress=progress,
    )
    for seed in evaluation.seeds:
        for label in evaluation.labels:
            try:
                yield from evaluate_one(evaluation, label, seed, sources, target, context)
            except TrainingError as error:
                yield Failure(label=label, seed=seed, message=str(error))


def find_applicable(dataset: Dataset, evaluation: Evaluation) -> tuple[tuple[str, ...], dict[str, str]]:
    """The labels that can be had on this fold and these features, and why each other one cannot."""
    labels, reasons = [], {}
    for label in evaluation.labels:
        try:
            _check_method(dataset, evaluation, label)
            labels.append(label)
        except UserError as error:
            reasons[label] = str(error)
    return tuple(labels), reasons


def check_evaluation(dataset: Dataset, evaluation: Evaluation) -> None:
    """Raise `UserError` for whatever would fail later, without decoding an image."""
    target = dataset.domain(evaluation.fold.target)
    check_queries(target)
    for count in evaluation.num_references:
        count_references(target.name, len(target.train_normals), count)
    for label in evaluation.labels:
        _check_method(dataset, evaluation, label)


def _check_method(dataset: Dataset, evaluation: Evaluation, label: str) -> None:
    """Raise `UserError` where this method cannot be had on these sources or features."""
    fold = evaluation.fold
    name, settings = evaluation.settings_of(label)
    METHODS[name].check_features(settings, evaluation.features)
    traits = _traits(evaluation, label)
    if len(fold.sources) < traits.min_sources:
        raise DataError(
            f"`{label}` needs at least {traits.min_sources} source domain(s) to learn from, but got"
            f" {len(fold.sources)}: add domains to the data, or take a --method that needs none, such as"
            " comparer:untrained or patch_knn."
        )
    for source in fold.sources:
        domain = dataset.domain(source)
        if traits.needs_defects and not any(s.label for s in domain.tests):
            raise DataError(
                f"Source `{source}` has no defects, so `{label}` cannot learn from it: name other sources"
                f" with --sources, or add defects to its test folder."
            )


def _traits(evaluation: Evaluation, label: str) -> Traits:
    name, settings = evaluation.settings_of(label)
    return METHODS[name].traits_of(settings)


def evaluate_one(
    evaluation: Evaluation,
    label: str,
    seed: int,
    sources: Sequence[SourceDomain],
    target: TargetDomain,
    context: Context,
) -> Iterator[Result]:
    """Fit one method with one seed on data that is already decoded, and score every reference count."""
    name, settings = evaluation.settings_of(label)
    method = METHODS[name](settings, context)
    if sources and _traits(evaluation, label).needs_defects:
        check_sources(sources)
    started = time.perf_counter()
    method.fit(sources, seed=seed)
    fit_s = time.perf_counter() - started
    num_normals = len(target.normals)
    counts = [count_references(target.name, num_normals, n) for n in evaluation.num_references]
    for count in dict.fromkeys(counts):
        scores = score_target(method, target, num_references=count, seed=seed)
        yield Result(
            label=label,
            seed=seed,
            num_references=len(scores.reference_ids),
            fit_s=fit_s,
            scores=scores,
            fitted=method,
        )
