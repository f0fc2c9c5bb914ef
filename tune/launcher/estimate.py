"""`--dry-run`: how many fits a study takes, and how long, from one measured step and one measured scoring."""

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dgad.domains import Dataset, Domain
from dgad.domains.image_set import ImageSet
from dgad.errors import SettingsError, UserError
from dgad.evaluation.scoring import load_target, parse_num_references, score_target
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS, parse_method
from dgad.methods.base import Context, Method
from dgad.settings import from_dict
from dgad.training.sources import SourceDomain, load_source
from tune.launcher.sizes import Sizes, sample_sizes
from tune.search.workers import Workers
from tune.spaces.features import choose_features, describe_choice, split_configuration
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


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FeatureCost:
    """What one choice of the features costs; of a study that searches none its own are the only one."""

    choice: str
    """Such as `backbone resnet18, scale fit 256`; empty where nothing is searched."""
    scale: str
    backbone: str
    cost: Cost
    features_bytes: int
    """Feature maps of every image of the data, as the first configuration asks for them."""
    images_bytes: int
    """Every image of the data, scaled and decoded."""


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


def measure_features(
    study: Study, cells: Sequence[Cell], dataset: Dataset, device: torch.device, num_threads: int
) -> tuple[FeatureCost, ...]:
    """Measure the cost of every backbone, scale and normalisation that the study looks at images with.

    By the first configuration of the first cell that chooses; sizes come from the headers of images.
    """
    torch.set_num_threads(num_threads)
    cell = next((c for c in cells if c.num_trials), cells[0])
    sizes = sample_sizes(dataset)
    found = {}
    for chosen in _list_choices(study, cell):
        features = choose_features(study.features, chosen)
        chosen.pop("tile_px", None)
        looked_at_with = dataclasses.replace(features, tile_px=study.tile_px)
        if looked_at_with not in found:
            name = describe_choice(chosen)
            try:
                measured = _measure(study, cell.method, dataset, features, device, name, sizes)
            except UserError as error:
                where = f"With {name} `{cell.method}` cannot be had on this data: " if name else ""
                raise SettingsError(f"{where}{error}") from error
            found[looked_at_with] = measured
    return tuple(found.values())


def average_cost(costs: Sequence[FeatureCost]) -> Cost:
    """The mean over the choices: which of them a search will make more of nobody knows."""
    names = [field.name for field in dataclasses.fields(Cost)]
    return Cost(**{name: sum(getattr(c.cost, name) for c in costs) / len(costs) for name in names})


def _list_choices(study: Study, cell: Cell) -> list[dict[str, str | int]]:
    if not cell.num_trials:
        return [{}]
    return list(study.space_settings.choices_for(cell.method).combinations())


def _measure(
    study: Study,
    name: str,
    dataset: Dataset,
    features: FeatureSettings,
    device: torch.device,
    choice: str,
    sizes: Sizes,
) -> FeatureCost:
    """Time a step and a scoring of a first configuration on some features, on few images."""
    design = make_initial_design(name, study.space_settings, seed=study.seed, num_trials=1)
    settings = from_dict(METHODS[name].settings_type, study.split(design[0].settings)[0])
    settings = _first_possible(name, settings, features)
    context = Context(features=features, device=device, cache=FeatureCache())
    first, *others = dataset.domains.values()
    sources = [load_source(_few(domain), features.geometry) for domain in others[:2]]
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
    target = load_target(_few(first), features.geometry)
    wanted = parse_num_references(study.num_references)
    num_references = min(len(target.normals), wanted if isinstance(wanted, int) else len(target.normals))
    started = time.perf_counter()
    scores = score_target(method, target, num_references=num_references, seed=study.seed)
    scoring_s = time.perf_counter() - started
    image_s = scores.ms_per_image / 1000
    cost = Cost(
        step_s=step_s,
        fit_overhead_s=durations[1],
        image_s=image_s,
        scoring_overhead_s=max(0.0, scoring_s - len(scores.labels) * image_s),
    )
    pixels = _count_pixels(dataset, features, sizes)
    return FeatureCost(
        choice=choice,
        scale=features.scale,
        backbone=features.backbone,
        cost=cost,
        features_bytes=round(_bytes_per_pixel(method, target.queries.take([0]), context.cache) * pixels),
        images_bytes=round(3 * pixels),
    )


def _first_possible(name: str, settings: Any, features: FeatureSettings) -> Any:
    """The settings, or the first preset, that the method can be had with on these features."""
    for candidate in (settings, *METHODS[name].presets.values()):
        with contextlib.suppress(UserError):
            METHODS[name].check_features(candidate, features)
            return candidate
    return settings


def _bytes_per_pixel(method: Method, image: ImageSet, cache: FeatureCache) -> float:
    """What a method keeps of an image's features for a scaled pixel of it; 0 where it keeps none."""
    # What is kept may be as the references normalise it, but of no method that trains at enrolment.
    enrolled = [] if method.traits.trains_at_enrolment else [method.enroll(image)]
    cache.clear()
    method.prepare(image, enrolled)
    ((height, width),) = image.sizes
    return cache.used_bytes / (height * width)


def _count_pixels(dataset: Dataset, features: FeatureSettings, sizes: Sizes) -> float:
    """Scaled pixels of all images of the data, by the mean of those whose size is known."""
    total = 0.0
    for domain in dataset.domains.values():
        geometry = features.geometry.with_scale(domain.scale)
        areas = [height * width for height, width in (geometry.scaled_size(*s) for s in sizes[domain.name])]
        total += len(domain.samples) * sum(areas) / max(1, len(areas))
    return total


def estimate_seconds(count: FitCount, cost: Cost, num_queries: float, workers: Workers) -> float:
    """Seconds that the study will take; `num_queries` is a domain's mean number of test images."""
    fits_s = count.fits * cost.fit_overhead_s + count.steps * cost.step_s
    scorings_s = count.scorings * (cost.scoring_overhead_s + num_queries * cost.image_s)
    return START_S + (fits_s + scorings_s) / workers.count


def _learns(method: str, settings: dict[str, Any]) -> bool:
    own, _ = split_configuration(settings)
    return METHODS[method].traits_of(from_dict(METHODS[method].settings_type, own)).learns


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
