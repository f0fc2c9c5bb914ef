"""One batch of every source domain at every step."""

# B queries, R references, H x W pixels of a tile, C channels

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dgad.seeds import seed_for
from dgad.training.augmentation import random_flips
from dgad.training.episodes import Episode, EpisodeSampler, Ranking
from dgad.training.source_tiles import SourceTiles
from dgad.training.tiles import run_by_shape

_RANKED_AT_ONCE = 8
"""Tiles of a bag that are ranked together."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Query tiles of one source, and normal tiles of it to compare them with."""

    queries_B3HW: Tensor
    """uint8; with a fourth channel where not all pixels count, 0 for those."""
    labels_B: Tensor
    """int64: 0 normal, 1 abnormal."""
    references_R3HW: Tensor
    """The same; R is 0 where nothing is compared. None shares its photograph with a query."""


Rank = Callable[[Tensor, Tensor], Tensor]
"""Anomaly logits (B,) of query tiles beside reference tiles, by the model as it is."""


class DomainBatches:
    """Draws batches from one seed, each with as many normal as abnormal queries as the settings say.

    Published, batches follow the sources' own shares of defects; with a few queries a domain such a
    batch would often hold no defect at all. Of a bag, tiles of which one is abnormal, the batch has the one
    that the model as it is ranks highest: the maximum over the bag is that tile's, and so is its gradient.
    """

    def __init__(
        self,
        sources: Sequence[SourceTiles],
        *,
        seed: int,
        normals: int,
        abnormals: int,
        references: int,
        device: torch.device,
        rank: Rank,
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
        self._rank = rank

    def draw(self) -> list[Batch]:
        """One batch of every source, in the order of the sources; every image flipped at random."""
        episodes = sorted(self._sampler.draw(), key=lambda episode: self._order[episode.domain.name])
        batches = []
        for drawn in episodes:
            episode = self._sampler.narrow(drawn, self._ranking, max_tiles=1)
            tiles = episode.domain.tiles.read((*episode.query_tiles, *episode.references))
            flipped = random_flips(tiles, self._flips).to(self._device)
            num_queries = len(episode.queries)
            batches.append(
                Batch(
                    queries_B3HW=flipped[:num_queries],
                    labels_B=episode.labels.to(self._device),
                    references_R3HW=flipped[num_queries:],
                )
            )
        return batches

    def _ranking(self, episode: Episode) -> Ranking:
        def rank(candidates: Sequence[int]) -> Tensor:
            found = []
            for start in range(0, len(candidates), _RANKED_AT_ONCE):
                part = candidates[start : start + _RANKED_AT_ONCE]
                tiles = episode.domain.tiles.read((*part, *episode.references)).to(self._device)
                found.append(self._rank(tiles[: len(part)], tiles[len(part) :]).cpu())
            return torch.cat(found)

        return rank


Embedded = tuple[Tensor, Tensor | None]
"""Embeddings (B, C) of a batch's queries, and the mean one (C,) of its references if there are any."""


def embed(encoder: Callable[[Tensor], Tensor], batches: Sequence[Batch]) -> list[Embedded]:
    """What the classifier sees of every batch; one call of the encoder for all of one shape."""
    images = [part for b in batches for part in (b.queries_B3HW, b.references_R3HW)]
    parts = [embedded for (embedded,) in run_by_shape(lambda stack: [encoder(stack)], images)]
    return [
        (query_BC, reference_RC.mean(0) if len(reference_RC) else None)
        for query_BC, reference_RC in zip(parts[::2], parts[1::2], strict=True)
    ]
