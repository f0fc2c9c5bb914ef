"""Cells (one method on one outer fold, or on `deploy`) and the inner folds each of them asks for."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from dgad.errors import DataError, UserError
from dgad.folds import Fold, inner_folds, leave_one_out
from dgad.methods import METHODS, SHOWN_BESIDE, parse_method
from dgad.methods.base import Traits
from dgad.settings import from_dict
from tune.spaces.features import split_configuration
from tune.spaces.initial_design import make_fixed_settings
from tune.study.cell_id import DEPLOY, CellId, Protocol
from tune.study.settings import Study


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class InnerFold:
    """One fit, and the domain by whose labels it is judged."""

    target: str
    sources: tuple[str, ...]
    split: str = "all"
    """`half`: trained on half of the sources' test images, judged on the other half of the target's."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One method on one outer fold, or on `deploy`, its settings chosen by one protocol."""

    label: str
    """A method, or `name:preset`, which is fixed."""
    target: str
    """The domain held out, or `deploy`."""
    protocol: Protocol = "nested"
    domains: tuple[str, ...]
    """All domains of the data set, in order."""
    num_trials: int
    """Configurations to try; 0 where there is nothing to choose."""
    settings: Mapping[str, Any] | None = dataclasses.field(default=None, hash=False)
    """Complete, where there is nothing to choose; None where there is."""

    @property
    def id(self) -> CellId:
        """What names the cell; unique in its study."""
        protocol = self.protocol if self.num_trials else "fixed"
        return CellId.of(self.label, protocol, self.target)

    @property
    def name(self) -> str:
        """The text of `id`, as journals, ledger and trials carry it."""
        return str(self.id)

    @property
    def method(self) -> str:
        """The method's registry name, without preset."""
        return self.id.method

    @property
    def traits(self) -> Traits:
        """What its fits need: of fixed settings exactly, of a search at most."""
        method = METHODS[self.method]
        if self.settings is None:
            return method.traits
        settings, _ = split_configuration(self.settings)
        return method.traits_of(from_dict(method.settings_type, settings))

    @property
    def sources(self) -> tuple[str, ...]:
        """What a winner is fitted on: every domain but the target; every domain for `deploy`."""
        return tuple(d for d in self.domains if d != self.target)

    @property
    def folds(self) -> tuple[InnerFold, ...]:
        """The folds that judge a configuration; unless by `oracle`, the target is in none of them.

        They begin after the target's place, so that cells which run side by side do not want the same
        shared fit at the same moment.
        """
        if self.protocol == "source-validation":
            return tuple(InnerFold(target=u, sources=self.sources, split="half") for u in self.sources)
        if self.target == DEPLOY:
            return _inner(leave_one_out(self.domains))
        if self.protocol == "oracle":
            return (InnerFold(target=self.target, sources=self.sources),)
        folds = _inner(inner_folds(Fold(target=self.target, sources=self.sources)))
        position = self.domains.index(self.target)
        return folds[position:] + folds[:position]


def _inner(folds: Sequence[Fold]) -> tuple[InnerFold, ...]:
    return tuple(InnerFold(target=f.target, sources=f.sources) for f in folds)


def make_cells(study: Study, domains: Sequence[str], searched: Sequence[str]) -> tuple[Cell, ...]:
    """Make the matrix of a study: every method on every outer fold by every protocol, then `deploy`.

    `deploy` is for the first comparer; for every other method too where there are extra targets, on which
    the winners of `deploy` are scored.

    `searched` names the methods that have something to choose; the others get no trials, and one cell
    whatever the protocols. `deploy` has no target to peek at: beside `oracle` it is chosen like `nested`.
    """
    targets = study.folds or tuple(domains)
    first = study.protocol[0]
    triples = [
        (label, target, protocol)
        for protocol in study.protocol
        for label in study.methods
        for target in targets
        if label in searched or protocol == first
    ]
    bundled = find_bundled_label(study)
    deployed = [] if bundled is None else [bundled]
    if study.extra_targets is not None:
        deployed += [label for label in study.methods if label != bundled]
    triples += [(label, DEPLOY, "nested" if first == "oracle" else first) for label in deployed]
    return tuple(
        Cell(
            label=label,
            target=target,
            protocol=protocol,
            domains=tuple(domains),
            num_trials=study.trials if label in searched else 0,
            settings=None if label in searched else make_fixed_settings(label, study.space_settings),
        )
        for label, target, protocol in triples
    )


def find_bundled_label(study: Study) -> str | None:
    """The method that the `deploy` cell fits and bundles: the first comparer, or none."""
    comparers = [label for label in study.methods if parse_method(label)[0] == "comparer"]
    return comparers[0] if comparers else None


def select_shown_beside(study: Study) -> tuple[str, ...]:
    """The methods that every table of the study also has, where they can be had on its features."""
    found = []
    for label in SHOWN_BESIDE:
        name, _, settings = parse_method(label)
        with contextlib.suppress(UserError):
            METHODS[name].check_features(settings, study.features)
            found.append(label)
    return tuple(found)


def check_domains(domains: Sequence[str], protocols: Sequence[Protocol] = ("nested",)) -> None:
    """Raise `DataError` unless every cell has folds to be judged by."""
    named = f"the data has {len(domains)} ({', '.join(domains)})"
    if "nested" in protocols and len(domains) < 3:
        otherwise = "choose settings with `--protocol source-validation`, which needs 2" * (len(domains) == 2)
        raise DataError(
            f"Nested selection needs at least 3 domains, but {named}: add a domain, or"
            f" {otherwise or 'evaluate fixed settings with `dgad evaluate`'}."
        )
    if len(domains) < 2:
        raise DataError(f"A target needs another domain as its source, but {named}: add a domain.")
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
