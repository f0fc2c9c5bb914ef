"""Leave-one-domain-out folds, and the inner folds that select without the target."""

import dataclasses
from collections.abc import Sequence

from dgad.errors import DataError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """Train on `sources`, score `target`."""

    target: str
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.sources)) < len(self.sources):
            raise DataError(f"Each source may be named once only, but got {', '.join(self.sources)}.")
        if self.target in self.sources:
            raise DataError(f"The target `{self.target}` is among its own sources; leave it out of them.")

    @property
    def name(self) -> str:
        """What cells, seeds and records call the fold: its target."""
        return self.target


def leave_one_out(domains: Sequence[str]) -> tuple[Fold, ...]:
    """One fold per domain, in the given order; needs at least two domains."""
    if len(domains) < 2:
        raise DataError(f"Leave-one-domain-out needs at least 2 domains, but got {len(domains)}.")
    return tuple(Fold(target=t, sources=tuple(d for d in domains if d != t)) for t in domains)


def inner_folds(fold: Fold) -> tuple[Fold, ...]:
    """For each source u of `fold`: train on the other sources, score u. The target is in none."""
    if len(fold.sources) < 2:
        raise DataError(
            f"Nested selection needs at least 3 domains, but got {len(fold.sources) + 1}: add a domain."
        )
    return leave_one_out(fold.sources)
