"""Everything that would fail later, refused before anything is started or written."""

from collections.abc import Sequence

import torch

from dgad.domains import Dataset, Domain
from dgad.errors import DataError
from dgad.evaluation.scoring import check_queries, count_references, parse_num_references
from dgad.features.cache import FeatureCache
from dgad.methods import METHODS, SHOWN_BESIDE, parse_method
from dgad.methods.base import Context
from dgad.settings import from_dict
from tune.cells import DEPLOY, Cell, cells_of, check_cells
from tune.opening import is_searched, opening_design
from tune.study import Study


def checked_cells(study: Study, dataset: Dataset) -> tuple[Cell, ...]:
    """The study's cells, once every one of them can be run on this data; else `UserError`."""
    for name in study.folds:
        dataset.domain(name)
    searched = [
        label
        for label in study.methods
        if ":" not in label and is_searched(label, study.space, study.features)
    ]
    cells = cells_of(study, tuple(dataset.domains), searched)
    check_cells(cells)
    _check_references(study, dataset, cells)
    for cell in cells:
        _check_cell(cell, dataset)
    _check_features(study, cells)
    return cells


def _check_references(study: Study, dataset: Dataset, cells: Sequence[Cell]) -> None:
    """Every domain that is ever scored has queries and enough references."""
    wanted = parse_num_references(study.num_references)
    scored = {c.target for c in cells if c.target != DEPLOY}
    scored |= {f.target for c in cells if c.num_trials for f in c.folds}
    for name in sorted(scored):
        domain = dataset.domain(name)
        count_references(name, len(domain.train_normals), wanted)
        check_queries(domain)


def _check_cell(cell: Cell, dataset: Dataset) -> None:
    if cell.traits.needs_defects:
        for name in cell.sources:
            _check_source(dataset.domain(name), cell)
    if cell.num_trials and not any(_has_both_classes(dataset.domain(f.target)) for f in cell.folds):
        raise DataError(
            f"The settings of {cell.name} cannot be judged: none of {', '.join(cell.sources)} has"
            " both good and defective test images."
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


def _check_features(study: Study, cells: Sequence[Cell]) -> None:
    """Build each method once, as its first fit will: the backbone and its weights are to be had."""
    context = Context(features=study.features, device=torch.device("cpu"), cache=FeatureCache(max_bytes=0))
    for label in sorted({c.label for c in cells} | set(SHOWN_BESIDE)):
        name, _, settings = parse_method(label)
        if ":" not in label:
            design = opening_design(name, study.space, study.features, seed=study.seed, num_trials=1)
            settings = from_dict(METHODS[name].settings_type, design[0].settings)
        METHODS[name].check_features(settings, study.features)
        METHODS[name](settings, context)
