"""Cells (one method on one outer fold, or on `deploy`) and the folds each of them asks for."""

import contextlib
import dataclasses
from collections.abc import Sequence

from dgad.errors import DataError, UserError
from dgad.folds import Fold, inner_folds, leave_one_out
from dgad.methods import METHODS, SHOWN_BESIDE, parse_method
from dgad.methods.base import Traits
from tune.study import Study

DEPLOY = "deploy"
"""The target of the cell whose winner is fitted on every domain and bundled."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One method on one outer fold, or on `deploy`."""

    label: str
    """A method, or `name:preset`, which is fixed."""
    target: str
    """The domain held out, or `deploy`."""
    domains: tuple[str, ...]
    """All domains of the data set, in order."""
    num_trials: int
    """Configurations to try; 0 where there is nothing to choose."""

    @property
    def name(self) -> str:
        """Unique in its study."""
        return f"{self.label}@{self.target}"

    @property
    def method(self) -> str:
        """Registry name, without preset."""
        return parse_method(self.label)[0]

    @property
    def traits(self) -> Traits:
        """What its fits need: of one preset exactly, of a search at most."""
        name, _, settings = parse_method(self.label)
        return METHODS[name].traits_of(settings) if ":" in self.label else METHODS[name].traits

    @property
    def sources(self) -> tuple[str, ...]:
        """What a winner is fitted on: every domain but the target; every domain for `deploy`."""
        return tuple(d for d in self.domains if d != self.target)

    @property
    def folds(self) -> tuple[Fold, ...]:
        """The folds that judge a configuration; the target is in none of them.

        They begin after the target's place, so that cells which run side by side do not want the same
        shared fit at the same moment.
        """
        if self.target == DEPLOY:
            return leave_one_out(self.domains)
        folds = inner_folds(Fold(target=self.target, sources=self.sources))
        place = self.domains.index(self.target)
        return folds[place:] + folds[:place]


def cells_of(study: Study, domains: Sequence[str], searched: Sequence[str]) -> tuple[Cell, ...]:
    """The matrix: every method on every outer fold, then `deploy` for the first comparer.

    `searched` names the methods that have something to choose; the others get no trials.
    """
    targets = study.folds or tuple(domains)
    pairs = [(label, target) for label in study.methods for target in targets]
    bundled = bundled_label(study)
    if bundled is not None:
        pairs.append((bundled, DEPLOY))
    return tuple(
        Cell(
            label=label,
            target=target,
            domains=tuple(domains),
            num_trials=study.trials if label in searched else 0,
        )
        for label, target in pairs
    )


def bundled_label(study: Study) -> str | None:
    """The method that the `deploy` cell fits and bundles: the first comparer, or none."""
    comparers = [label for label in study.methods if parse_method(label)[0] == "comparer"]
    return comparers[0] if comparers else None


def shown_beside(study: Study) -> tuple[str, ...]:
    """The methods that every table of the study also has, where they can be had on its features."""
    found = []
    for label in SHOWN_BESIDE:
        name, _, settings = parse_method(label)
        with contextlib.suppress(UserError):
            METHODS[name].check_features(settings, study.features)
            found.append(label)
    return tuple(found)


def check_domains(domains: Sequence[str]) -> None:
    """Raise `DataError` unless every cell has folds to be judged by."""
    if len(domains) < 3:
        raise DataError(
            f"Nested selection needs at least 3 domains, but the data has {len(domains)}"
            f" ({', '.join(domains)}): add a domain, or evaluate fixed settings with `dgad evaluate`."
        )
    if DEPLOY in domains:
        raise DataError(f"A domain cannot be called `{DEPLOY}`, the name of the cell that makes the bundle.")


def check_num_sources(cell: Cell) -> None:
    """Raise `DataError` unless the method has enough sources in every fit of the cell."""
    least = cell.traits.min_sources
    inner = min(len(fold.sources) for fold in cell.folds)
    fewest = inner if cell.num_trials else len(cell.sources)
    if fewest < least:
        where = "an inner fold" if cell.num_trials else cell.name
        raise DataError(
            f"`{cell.method}` needs at least {least} source domains in every fit, but {where} has"
            f" {fewest}: add a domain."
        )
