"""Episodes: queries and references of one source, and which tiles of a bag are looked at."""

# U queries, B tiles of all queries

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dgad.errors import DataError
from dgad.training.source_tiles import SourceTiles

MAX_BAG_TILES = 4
"""Tiles of one bag that a step has in memory with gradients, at most."""
_NUM_CANDIDATES = 16
"""Tiles of one bag that are ranked each time it is drawn: those that ranked highest before, then others."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Episode:
    """One training draw of one domain: indices of its tiles."""

    domain: SourceTiles
    queries: tuple[tuple[int, ...], ...]
    """The tiles of every query: one, or several of a bag."""
    labels: Tensor
    """int64 (U,): 0 normal, 1 abnormal; of a bag, that one of its tiles is abnormal."""
    references: tuple[int, ...]

    @property
    def query_tiles(self) -> tuple[int, ...]:
        """All tiles of all queries, (B,)."""
        return tuple(tile for query in self.queries for tile in query)

    @property
    def bag_sizes(self) -> list[int] | None:
        """How many tiles each query has; None: one each."""
        sizes = [len(query) for query in self.queries]
        return None if all(size == 1 for size in sizes) else sizes


Ranking = Callable[[Sequence[int]], Tensor]
"""Scores (N,) of tiles of an episode's domain by the model as it is; higher is more anomalous."""


class EpisodeSampler:
    """Draws episodes from sources; a reference never shares its photograph with a query."""

    def __init__(
        self,
        sources: Sequence[SourceTiles],
        *,
        seed: int,
        domains_per_step: int,
        normals: int,
        abnormals: int,
        references: int,
    ) -> None:
        self.sources = tuple(sources)
        self.domains_per_step = min(domains_per_step, len(sources))
        self.normals, self.abnormals, self.references = normals, abnormals, references
        self._rng = np.random.default_rng(seed)
        self._highest: dict[tuple[str, int], tuple[int, ...]] = {}
        """By source and image the tiles of a bag that ranked highest when it was drawn last."""

    def draw(self) -> tuple[Episode, ...]:
        """The episodes of one step, each of another domain; a bag comes with all that is to be ranked."""
        chosen = self._rng.choice(len(self.sources), size=self.domains_per_step, replace=False)
        return tuple(self._episode(self.sources[i]) for i in chosen)

    def narrow(
        self, episode: Episode, ranking: Callable[[Episode], Ranking], *, max_tiles: int = MAX_BAG_TILES
    ) -> Episode:
        """The same with at most `max_tiles` of every bag: those that rank highest, and are remembered.

        The maximum over a bag, and its gradient, are then those over all that was ranked. `ranking` is
        asked only for an episode with a larger bag.
        """
        if all(len(query) <= max_tiles for query in episode.queries):
            return episode
        rank = ranking(episode)
        queries = []
        for query in episode.queries:
            if len(query) > max_tiles:
                order = rank(query).argsort(descending=True, stable=True)
                ranked = tuple(query[i] for i in order.tolist())
                self._highest[_name_bag(episode.domain, query)] = ranked[:MAX_BAG_TILES]
                query = ranked[:max_tiles]
            queries.append(query)
        return dataclasses.replace(episode, queries=tuple(queries))

    def _episode(self, domain: SourceTiles) -> Episode:
        normal = self._rng.permutation(np.flatnonzero(domain.labels.numpy() == 0))
        abnormal = self._rng.permutation(len(domain.defects))[: self.abnormals]
        normals = self._choose_normals(domain, normal)
        queries = [(tile,) for tile in normals] + [self._choose_tiles(domain, i) for i in abnormal]
        taken = {domain.photographs[tile] for query in queries for tile in query}
        references: list[int] = []
        for tile in normal:
            if len(references) == self.references:
                break
            if domain.can_refer[tile] and domain.photographs[tile] not in taken:
                references.append(int(tile))
        if not references and self.references > 0:
            raise DataError(
                f"Domain `{domain.name}` has no normal image left as a reference that is not cut from the"
                f" same photograph as a query; it needs normals of at least 2 photographs more."
            )
        labels = torch.tensor([0] * len(normals) + [1] * len(abnormal), dtype=torch.int64)
        return Episode(domain=domain, queries=tuple(queries), labels=labels, references=tuple(references))

    def _choose_normals(self, domain: SourceTiles, order: npt.NDArray[np.intp]) -> list[int]:
        """The first tiles in that order of which one photograph at least is left to refer to."""
        free = {domain.photographs[tile] for tile in order if domain.can_refer[tile]}
        keeps_one = self.references > 0 and len(free) > 1
        chosen: list[int] = []
        # A small domain still trains: at least one normal is always left to be a reference.
        most = min(self.normals, len(order) - 1)
        for tile in order.tolist():
            if len(chosen) == most:
                break
            if keeps_one and free == {domain.photographs[tile]}:
                continue
            free.discard(domain.photographs[tile])
            chosen.append(tile)
        return chosen

    def _choose_tiles(self, domain: SourceTiles, defect: int) -> tuple[int, ...]:
        """One tile that is known to be abnormal, or of a bag those that are to be ranked."""
        tiles = domain.defects[defect]
        if not domain.is_bag(defect):
            return (tiles[0] if len(tiles) == 1 else tiles[self._rng.integers(len(tiles))],)
        if len(tiles) <= _NUM_CANDIDATES:
            return tiles
        kept = self._highest.get(_name_bag(domain, tiles), ())
        others = self._rng.permutation([tile for tile in tiles if tile not in kept])
        return (*kept, *(int(tile) for tile in others[: _NUM_CANDIDATES - len(kept)]))


def _name_bag(domain: SourceTiles, tiles: Sequence[int]) -> tuple[str, int]:
    return domain.name, domain.tiles.tiles[tiles[0]].image


def max_of_bags(score_B: Tensor, bag_sizes: Sequence[int] | None) -> Tensor:
    """The largest of every query's tiles, (U,)."""
    if bag_sizes is None:
        return score_B
    return torch.stack([part.amax() for part in torch.split(score_B, list(bag_sizes))])
