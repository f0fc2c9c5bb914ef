"""`--dry-run`: how many fits a study takes, and how long, from one measured step and one measured scoring."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dgad.domains import Dataset, Domain
from dgad.evaluation.scoring import load_target, parse_num_references, score_target
from dgad.features.cache import FeatureCache
from dgad.methods import METHODS, parse_method
from dgad.methods.base import Context, Method
from dgad.settings import from_dict
from dgad.training.episodes import SourceDomain, load_source
from tune.search.workers import Workers
from tune.spaces.initial_design import make_initial_design
from tune.study.cell_id import DEPLOY
from tune.study.cells import Cell, select_shown_beside
from tune.study.settings import Study

START_S = 20.0
"""Seconds until Ray, its dashboard and the imports of its workers are ready."""
_NUM_QUERIES = 8


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FitCount:
    """How many fits, scorings and training steps a study takes."""

    fits_alone: int
    """Number of fits if every cell fitted for itself."""
    fits: int
    """Number of fits, shared by content address; an upper bound, since winners are often fitted already."""
    scorings: int
    steps: int
    """Training steps of all `fits` together."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """The seconds that one measured step and one measured scoring took."""

    step_s: float
    fit_overhead_s: float
    """Seconds of a fit, whatever its number of steps."""
    image_s: float
    """Seconds of scoring per query."""
    scoring_overhead_s: float


def count_fits(study: Study, cells: Sequence[Cell], *, num_extra_targets: int = 0) -> FitCount:
    """Count the fits, scorings and steps that the cells will ask for."""
    asked: list[tuple[tuple[Any, ...], int]] = []  # (content address, steps)
    scorings = 0
    times = 1 + len(study.reference_counts)  # that a winner is scored
    for cell in cells:
        design = make_initial_design(
            cell.method,
            study.space_settings,
            seed=study.seed,
            num_trials=max(1, cell.num_trials),
        )
        mean_steps = round(sum(_steps(p.settings) for p in design) / len(design))
        for number in range(cell.num_trials):
            for fold in cell.folds:
                if number < len(design):
                    settings = design[number].settings
                    sources = tuple(sorted(fold.sources)) if _learns(cell.method, settings) else ()
                    asked.append(((cell.method, number, sources, fold.split), _steps(settings)))
                else:  # proposed by the cell's own sampler: assumed to be nobody else's
                    asked.append(((cell.name, number, fold.sources, fold.split), mean_steps))
                scorings += 1
        steps = mean_steps if cell.num_trials else _steps(cell.settings or {})
        is_deploy = cell.target == DEPLOY
        num_seeds = 1 if is_deploy and not num_extra_targets else study.seeds
        asked += [((cell.name, "winner", seed), steps) for seed in range(num_seeds)]
        scorings += times * num_seeds * (num_extra_targets if is_deploy else 1)
    targets = {c.target for c in cells if c.target != DEPLOY} | {
        f"extra {i}" for i in range(num_extra_targets)
    }
    for label in select_shown_beside(study):
        if label not in study.methods:
            # Untrained it is a cell's winner, and each cell may have another.
            learns = METHODS[parse_method(label)[0]].traits.learns
            for target in sorted(targets):
                asked += [((label, target if learns else "", seed), 0) for seed in range(study.seeds)]
                scorings += times * study.seeds
    unique = dict(asked)
    return FitCount(fits_alone=len(asked), fits=len(unique), scorings=scorings, steps=sum(unique.values()))


def measure_cost(
    study: Study, cells: Sequence[Cell], dataset: Dataset, device: torch.device, num_threads: int
) -> Cost:
    """Time a step and a scoring of the first cell's first configuration, on few images."""
    torch.set_num_threads(num_threads)
    name = cells[0].method
    settings = from_dict(
        METHODS[name].settings_type,
        make_initial_design(name, study.space_settings, seed=study.seed, num_trials=1)[0].settings,
    )
    context = Context(features=study.features, device=device, cache=FeatureCache())
    geometry = study.features.geometry
    first, *others = dataset.domains.values()
    sources = [load_source(_few(domain), geometry) for domain in others[:2]]
    has_steps = hasattr(settings, "num_steps")
    durations = [
        _time_fit(
            METHODS[name](dataclasses.replace(settings, num_steps=n) if has_steps else settings, context),
            sources,
            study.seed,
        )
        for n in (1, 0, 4)  # the first pays for warming up and is thrown away
    ]
    step_s = max(0.0, (durations[2] - durations[1]) / 4) if has_steps else 0.0
    method = METHODS[name](settings, context)
    if not METHODS[name].traits_of(settings).learns or not has_steps:
        method.fit(sources, seed=study.seed)
    target = load_target(_few(first), geometry)
    wanted = parse_num_references(study.num_references)
    num_references = min(len(target.normals), wanted if isinstance(wanted, int) else len(target.normals))
    started = time.perf_counter()
    scores = score_target(method, target, num_references=num_references, seed=study.seed)
    scoring_s = time.perf_counter() - started
    image_s = scores.ms_per_image / 1000
    return Cost(
        step_s=step_s,
        fit_overhead_s=durations[1],
        image_s=image_s,
        scoring_overhead_s=max(0.0, scoring_s - len(scores.labels) * image_s),
    )


def estimate_seconds(count: FitCount, cost: Cost, num_queries: float, workers: Workers) -> float:
    """Seconds that the study will take; `num_queries` is a domain's mean number of test images."""
    fits_s = count.fits * cost.fit_overhead_s + count.steps * cost.step_s
    scorings_s = count.scorings * (cost.scoring_overhead_s + num_queries * cost.image_s)
    return START_S + (fits_s + scorings_s) / workers.count


def _learns(method: str, settings: dict[str, Any]) -> bool:
    return METHODS[method].traits_of(from_dict(METHODS[method].settings_type, settings)).learns


def _steps(settings: Mapping[str, Any]) -> int:
    return int(settings.get("num_steps", 0))


def _few(domain: Domain) -> Domain:
    """A part of a domain that is quick to decode and still has what training needs."""
    normals = domain.train_normals[:12]
    good = [s for s in domain.tests if s.label == 0][: _NUM_QUERIES // 2]
    bad = [s for s in domain.tests if s.label == 1][: _NUM_QUERIES // 2]
    return Domain(name=domain.name, samples=(*normals, *good, *bad))


def _time_fit(method: Method, sources: Sequence[SourceDomain], seed: int) -> float:
    started = time.perf_counter()
    method.fit(sources, seed=seed)
    return time.perf_counter() - started
