"""One batch of every source domain at every step."""

# B queries, R references, S pixels a side, C channels

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dgad.seeds import seed_for
from dgad.training.augmentation import random_flips
from dgad.training.episodes import EpisodeSampler, SourceDomain


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Queries of one source, and normals of it to compare them with."""

    queries_B3SS: Tensor
    """uint8."""
    labels_B: Tensor
    """int64: 0 normal, 1 abnormal."""
    references_R3SS: Tensor
    """uint8; R is 0 where nothing is compared. None shares its photograph with a query."""


class DomainBatches:
    """Draws batches from one seed, each with as many normal as abnormal queries as the settings say.

    Published, batches follow the sources' own shares of defects; with a few queries a domain such a
    batch would often hold no defect at all. Raises `DataError` for unusable sources.
    """

    def __init__(
        self,
        sources: Sequence[SourceDomain],
        *,
        seed: int,
        normals: int,
        abnormals: int,
        references: int,
        device: torch.device,
    ) -> None:
        self._sampler = EpisodeSampler(
            sources,
            seed=seed_for(seed, "episodes"),
            domains_per_step=len(sources),
            normals=normals,
            abnormals=abnormals,
            references=references,
        )
        self._order = {source.name: i for i, source in enumerate(sources)}
        self._flips = torch.Generator().manual_seed(seed_for(seed, "flips") % 2**63)
        self._device = device

    def draw(self) -> list[Batch]:
        """One batch of every source, in the order of the sources; every image flipped at random."""
        episodes = sorted(self._sampler.draw(), key=lambda episode: self._order[episode.domain.name])
        batches = []
        for episode in episodes:
            images = episode.domain.images.take((*episode.queries, *episode.references)).stack()
            flipped = random_flips(images, self._flips).to(self._device)
            num_queries = len(episode.queries)
            batches.append(
                Batch(
                    queries_B3SS=flipped[:num_queries],
                    labels_B=episode.labels.to(self._device),
                    references_R3SS=flipped[num_queries:],
                )
            )
        return batches


Embedded = tuple[Tensor, Tensor | None]
"""Embeddings (B, C) of a batch's queries, and the mean one (C,) of its references if there are any."""


def embed(encoder: Callable[[Tensor], Tensor], batches: Sequence[Batch]) -> list[Embedded]:
    """What the classifier sees of every batch; one call of the encoder for all."""
    images = [part for b in batches for part in (b.queries_B3SS, b.references_R3SS)]
    parts = torch.split(encoder(torch.cat(images)), [len(part) for part in images])
    return [
        (query_BC, reference_RC.mean(0) if len(reference_RC) else None)
        for query_BC, reference_RC in zip(parts[::2], parts[1::2], strict=True)
    ]
