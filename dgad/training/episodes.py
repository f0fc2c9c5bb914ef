"""Source domains as methods train on them, and the episodes drawn from them."""

# N images of one domain

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dgad.domains.base import Domain
from dgad.domains.geometry import Geometry
from dgad.domains.image_set import ImageSet
from dgad.domains.images import load_images
from dgad.errors import DataError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SourceDomain:
    """One source as methods train on it: its train normals and its labelled test images."""

    name: str
    images: ImageSet
    labels: Tensor
    """int64 (N,): 0 normal, 1 abnormal."""
    photographs: tuple[str, ...]
    """(N,): images with equal names were cut from one photograph, and never meet in an episode."""


def load_source(domain: Domain, geometry: Geometry) -> SourceDomain:
    """Decode everything a source contributes to training."""
    return source_from(domain, load_images((*domain.train_normals, *domain.tests), geometry))


def source_from(domain: Domain, images: ImageSet) -> SourceDomain:
    """The source that a domain is, from its decoded train normals and then its test images."""
    samples = (*domain.train_normals, *domain.tests)
    return SourceDomain(
        name=domain.name,
        images=images,
        labels=torch.tensor([s.label for s in samples], dtype=torch.int64),
        # Without word of where a crop comes from, equal bytes are one photograph.
        photographs=tuple(s.photograph or key for s, key in zip(samples, images.keys, strict=True)),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Episode:
    """One training draw of one domain: indices into its images."""

    domain: SourceDomain
    queries: tuple[int, ...]
    references: tuple[int, ...]

    @property
    def labels(self) -> Tensor:
        """Labels of the queries, int64 of shape (queries,): 0 normal, 1 abnormal."""
        return self.domain.labels[list(self.queries)]


class EpisodeSampler:
    """Draws episodes from sources; a reference never shares its photograph with a query."""

    def __init__(
        self,
        sources: Sequence[SourceDomain],
        *,
        seed: int,
        domains_per_step: int,
        normals: int,
        abnormals: int,
        references: int,
    ) -> None:
        check_sources(sources)
        self.sources = tuple(sources)
        self.domains_per_step = min(domains_per_step, len(sources))
        self.normals, self.abnormals, self.references = normals, abnormals, references
        self._rng = np.random.default_rng(seed)

    def draw(self) -> tuple[Episode, ...]:
        """The episodes of one step, each of another domain."""
        chosen = self._rng.choice(len(self.sources), size=self.domains_per_step, replace=False)
        return tuple(self._episode(self.sources[i]) for i in chosen)

    def _episode(self, domain: SourceDomain) -> Episode:
        labels = domain.labels.numpy()
        normal = self._rng.permutation(np.flatnonzero(labels == 0))
        abnormal = self._rng.permutation(np.flatnonzero(labels == 1))
        # A small domain still trains: at least one normal is always left to be a reference.
        queries = (*normal[: min(self.normals, len(normal) - 1)], *abnormal[: self.abnormals])
        taken = {domain.photographs[i] for i in queries}
        free = [i for i in normal if domain.photographs[i] not in taken]
        if not free and self.references > 0:
            raise DataError(
                f"Domain `{domain.name}` has no normal image left as a reference that is not cut from the"
                f" same photograph as a query; it needs normals of at least 2 photographs more."
            )
        return Episode(
            domain=domain,
            queries=tuple(int(i) for i in queries),
            references=tuple(int(i) for i in free[: self.references]),
        )


def check_sources(sources: Sequence[SourceDomain]) -> None:
    """Raise `DataError` unless every source has two normals and a defect to learn from."""
    if not sources:
        raise DataError("At least 1 source domain is needed to train, but got 0.")
    for source in sources:
        num_abnormal = int(source.labels.sum())
        if num_abnormal == 0:
            raise DataError(
                f"Source `{source.name}` has no defects, so nothing can be learnt from it: leave it out of"
                " the sources, or add labelled defects to its test folder."
            )
        if len(source.images) - num_abnormal < 2:
            raise DataError(f"Source `{source.name}` needs at least 2 normal images, but has fewer.")
