"""Everything that would fail later, refused before anything is started or written."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from dgad.domains import Dataset, Domain
from dgad.domains.base import check_usable
from dgad.domains.checks import check_dataset, warn_of
from dgad.domains.geometry import Geometry
from dgad.errors import DataError, SettingsError, UserError
from dgad.evaluation.scoring import check_queries, count_references, parse_num_references
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS, parse_method
from dgad.methods.base import Context
from dgad.settings import from_dict
from dgad.training.halves import split_halves
from tune.launcher.sizes import find_scaled_sizes, sample_sizes
from tune.spaces.features import choose_features, describe_choice
from tune.spaces.initial_design import is_searched, make_initial_design
from tune.study.cell_id import DEPLOY
from tune.study.cells import (
    Cell,
    InnerFold,
    check_domains,
    check_num_sources,
    make_cells,
    select_shown_beside,
)
from tune.study.objectives import NEEDS_MASKS
from tune.study.settings import Study

_LARGE_PX = (4096, 4096)
"""A photograph by which scales are compared."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """The cells of a study that can be run on its data, and why those of other methods cannot."""

    cells: tuple[Cell, ...]
    not_applicable: Mapping[str, str]
    """By the label of the method; with ` with CHOICE` where it is only some of the searched features."""


def plan_matrix(study: Study, dataset: Dataset, extra_targets: Sequence[str] = ()) -> Matrix:
    """Plan the study's cells and check each; `UserError` where no method can be run on this data.

    `extra_targets` are the domains of the data set that are not the study's own.
    """
    domains = tuple(name for name in dataset.domains if name not in extra_targets)
    own = dataclasses.replace(dataset, domains={name: dataset.domains[name] for name in domains})
    for name in study.folds:
        own.domain(name)
    check_domains(domains, study.protocol)
    if DEPLOY in extra_targets:
        raise DataError(f"A domain cannot be called `{DEPLOY}`, the name of the cell that makes the bundle.")
    searched = [
        label for label in study.methods if ":" not in label and is_searched(label, study.space_settings)
    ]
    cells = make_cells(study, domains, searched)
    _check_references(study, dataset, cells, extra_targets)
    _check_scales(study, own)
    reasons: dict[str, UserError] = {}
    for cell in cells:
        try:
            check_num_sources(cell)
            _check_cell(cell, dataset)
            _check_objectives(cell, study, dataset)
            _check_settings(cell, study)
        except UserError as error:
            reasons.setdefault(cell.label, error)
    left = tuple(c for c in cells if c.label not in reasons)
    if not left:
        raise next(iter(reasons.values()))
    too_large = _build_each(study, left, dataset)
    left = tuple(c for c in left if c.label not in too_large)
    if not left:
        raise next(iter(too_large.values()))
    reasons |= too_large
    not_applicable = {label: str(error) for label, error in reasons.items()}
    for label in dict.fromkeys(c.label for c in left if c.num_trials):
        left_out = study.space_settings.choices_for(label).left_out
        not_applicable |= {f"{label} with {choice}": reason for choice, reason in left_out.items()}
    return Matrix(cells=left, not_applicable=not_applicable)


def check_images(
    place: str, layout: str | None, names: Sequence[str], geometry: Geometry | None = None
) -> None:
    """Raise `DataError` for data that `dgad domains check` calls fatal, hours before a fit would meet it.

    Of the named domains, or of all where none is named. What it only warns of is warned of here too.
    """
    found = check_dataset(place, layout=layout, geometry=geometry).problems
    problems = [p for p in found if not names or p.domain in names]
    check_usable(problems, place)
    warn_of(problems, place)


def find_finest_geometry(study: Study) -> Geometry:
    """The geometry that leaves most of a photograph, of those that the study looks at them with."""
    found = [choose_features(study.features, c).geometry for c in study.searched_features.combinations()]
    return max(found, key=lambda geometry: geometry.scaled_size(*_LARGE_PX))


def _check_references(
    study: Study, dataset: Dataset, cells: Sequence[Cell], extra_targets: Sequence[str]
) -> None:
    """Every domain that is ever scored has queries and enough references."""
    wanted = parse_num_references(study.num_references)
    targets = {c.target for c in cells if c.target != DEPLOY} | set(extra_targets)
    for name in sorted(targets):
        for count in study.reference_counts:
            try:
                num_normals = len(dataset.domain(name).train_normals)
                count_references(name, num_normals, parse_num_references(count))
            except DataError as error:
                raise DataError(f"`reference_counts` has {count}: {error}") from None
    scored = targets | {f.target for c in cells if c.num_trials for f in c.folds}
    for name in sorted(scored):
        domain = dataset.domain(name)
        count_references(name, len(domain.train_normals), wanted)
        check_queries(domain)


def _check_cell(cell: Cell, dataset: Dataset) -> None:
    if cell.traits.needs_defects:
        for name in cell.sources:
            _check_source(dataset.domain(name), cell)
    if cell.num_trials and not any(_has_both_classes(_judging(f, dataset)) for f in cell.folds):
        names = ", ".join(f.target for f in cell.folds)
        raise DataError(
            f"The settings of {cell.name} cannot be judged: none of {names} has"
            f" both good and defective test images{' to hold back' * (cell.folds[0].split == 'half')}."
        )


def _judging(fold: InnerFold, dataset: Dataset) -> Domain:
    """What judges a configuration."""
    domain = dataset.domain(fold.target)
    return split_halves(domain)[1] if fold.split == "half" else domain


def _check_objectives(cell: Cell, study: Study, dataset: Dataset) -> None:
    """Raise `UserError` where a figure that the study asks for can never be had."""
    by_mask = [name for name in study.figures if name in NEEDS_MASKS]
    if not by_mask or not cell.num_trials:
        return
    if not cell.traits.gives_pixels:
        raise SettingsError(
            f"`{cell.method}` scores whole images, so it cannot be searched for {by_mask[0]}: leave it out of"
            " `methods`, or choose by image_auroc."
        )
    if not any(s.mask for f in cell.folds for s in _judging(f, dataset).tests):
        raise DataError(
            f"{by_mask[0]} needs masks of defects, but none of {', '.join(f.target for f in cell.folds)} has"
            " one: choose by image_auroc."
        )


def _check_source(domain: Domain, cell: Cell) -> None:
    if not any(s.label for s in domain.tests):
        raise DataError(
            f"Domain `{domain.name}` has no defects among its test images, so `{cell.method}` cannot learn"
            f" from it as a source of {cell.name}: add labelled defects, or leave the domain out of the data."
        )
    num_normal = sum(not s.label for s in domain.samples)
    if num_normal < 2:
        raise DataError(
            f"Domain `{domain.name}` has {num_normal} normal image(s); a source needs at least 2."
        )


def _has_both_classes(domain: Domain) -> bool:
    return len({s.label for s in domain.tests}) == 2


def _check_scales(study: Study, dataset: Dataset) -> None:
    """Raise `SettingsError` where every domain states a scale of its own, so that there is none to search."""
    if study.search_scale and all(domain.scale is not None for domain in dataset.domains.values()):
        raise SettingsError(
            "`search_scale` has nothing to choose, since every domain of the data states a `scale` of its own"
            " in its domain.json: leave out the one or the other."
        )


def _first_configuration(label: str, study: Study) -> tuple[Any, FeatureSettings]:
    """(settings, features) of the first fit of a method."""
    name, _, settings = parse_method(label)
    if ":" in label:
        return settings, study.features
    design = make_initial_design(name, study.space_settings, seed=study.seed, num_trials=1)
    own, features = study.split(design[0].settings)
    return from_dict(METHODS[name].settings_type, own), features


def _check_settings(cell: Cell, study: Study) -> None:
    """Raise `UserError` where the method cannot be had on the study's features."""
    METHODS[cell.method].check_features(*_first_configuration(cell.label, study))


def _build_each(study: Study, cells: Sequence[Cell], dataset: Dataset) -> dict[str, UserError]:
    """Build each method once on every backbone, as its first fit will: the weights are to be had.

    Returns why methods cannot look at images as large as those of the data, by label; raises where only some
    of the searched features are to blame.
    """
    sizes, too_large = sample_sizes(dataset), dict[str, UserError]()
    cache = FeatureCache(max_bytes=0)
    beside = set(select_shown_beside(study))
    searched = {c.label for c in cells if c.num_trials}
    for label in sorted({c.label for c in cells} | beside):
        name = parse_method(label)[0]
        for settings, features, choice in _list_builds(label, study, is_searched=label in searched):
            context = Context(features=features, device=torch.device("cpu"), cache=cache)
            method = METHODS[name](settings, context)
            try:
                for size in sorted(find_scaled_sizes(dataset, features, sizes)):
                    method.check_size(*size)
            except UserError as error:
                if choice:
                    where = f"With {choice} `{name}` cannot be had on this data"
                    raise SettingsError(f"{where}: {error}") from error
                too_large[label] = error
    return too_large


def _list_builds(
    label: str, study: Study, *, is_searched: bool
) -> Iterator[tuple[Any, FeatureSettings, str]]:
    """What of a method is built anew by the features that are searched: a preset on every other choice.

    With the choice in a few words; empty where nothing is searched.
    """
    yield (*_first_configuration(label, study), "")
    if not is_searched or not study.searched_features.choices:
        return
    name = parse_method(label)[0]
    seen = set()
    for chosen in study.space_settings.choices_for(name).combinations():
        features = choose_features(study.features, chosen)
        built = (features.each, features.second, features.scale, features.geometry.input_px)
        if built in seen:
            continue
        seen.add(built)
        for preset in METHODS[name].presets.values():
            with contextlib.suppress(UserError):
                METHODS[name].check_features(preset, features)
                break
        else:
            continue
        yield preset, features, describe_choice(chosen)
