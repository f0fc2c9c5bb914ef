"""Training the comparer on episodes of tiles, whatever their shapes."""

# N tiles of an episode, queries first; H x W pixels of a tile; h x w cells of a level

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from dgad.comparer.model import Comparer
from dgad.comparer.objective import EpisodeMaps, episode_loss, rank_tiles
from dgad.features.adapted import AdaptedBody
from dgad.features.backbone import Backbone, channels_last
from dgad.features.frozen import FrozenFeatures
from dgad.features.statistics import Statistics
from dgad.seeds import seed_for
from dgad.training.augmentation import draw_flips, flip
from dgad.training.episodes import Episode, EpisodeSampler, Ranking
from dgad.training.source_tiles import SourceTiles
from dgad.training.tiles import count_cells, run_by_shape, run_members_by_shape

_RANKED_AT_ONCE = 4
"""Tiles that are ranked together: as many as a step has of one bag, so that ranking needs no more memory."""


class EpisodeTraining:
    """The loss of a step, drawn from a sampler: one backbone call for all tiles of one shape.

    With `frozen`, tiles are not flipped, and their maps are kept where the pretrained statistics hold: else
    every episode is normalised with its own references, and no other one has the like.
    """

    def __init__(
        self,
        backbone: Backbone,
        comparer: Comparer,
        sampler: EpisodeSampler,
        *,
        frozen: FrozenFeatures | None,
        pooled_area_px: int,
        device: torch.device,
        seed: int,
    ) -> None:
        self.backbone, self.comparer, self.sampler, self.frozen = backbone, comparer, sampler, frozen
        self.settings = comparer.settings
        self._area_px, self._device = pooled_area_px, device
        # Of weights as they are at each step, since it shares them.
        adaptation = backbone.adaptation
        self._adapted = None if adaptation is None else AdaptedBody(backbone.body, adaptation)
        self._generator = torch.Generator().manual_seed(seed_for(seed, "patches") % 2**63)
        self._ranking_generator = torch.Generator().manual_seed(seed_for(seed, "ranked patches") % 2**63)

    def step_loss(self) -> Tensor:
        """Mean over the step's episodes of their weighted losses."""
        episodes = [self.sampler.narrow(e, self._ranking) for e in self.sampler.draw()]
        total = torch.zeros((), device=self._device)
        for episode, maps in zip(episodes, self._episode_maps(episodes), strict=True):
            parts = episode_loss(
                self.comparer,
                maps,
                episode.labels.to(self._device),
                self._generator,
                bag_sizes=episode.bag_sizes,
            )
            total = (
                total
                + parts.classification
                + self.settings.attention_weight * parts.attention
                + parts.ranking
            )
        return total / len(episodes)

    def _episode_maps(self, episodes: Sequence[Episode]) -> list[EpisodeMaps]:
        indices = [(*e.query_tiles, *e.references) for e in episodes]
        if self.frozen is not None:
            found = [self._frozen_maps(e, i) for e, i in zip(episodes, indices, strict=True)]
        else:
            sizes = [len(e.references) for e in episodes]
            found = self._trained_maps([e.domain for e in episodes], indices, sizes)
        return [
            self._split(maps, alpha_NHW, len(e.query_tiles))
            for e, (maps, alpha_NHW) in zip(episodes, found, strict=True)
        ]

    def _frozen_maps(self, episode: Episode, indices: Sequence[int]) -> tuple[list[Tensor], Tensor | None]:
        assert self.frozen is not None
        tiles, statistics = episode.domain.tiles, self._measure(episode)
        images = tiles.images.take(indices)
        if statistics is not None:
            images = images.without_keys()
        return self.frozen.maps(images, statistics=statistics), tiles.alpha(indices)

    @torch.no_grad()
    def _measure(self, episode: Episode) -> Statistics | None:
        """The statistics of an episode's own references; None where the pretrained ones hold."""
        if self._adapted is None:
            return None
        tiles = episode.domain.tiles
        alpha_NHW = tiles.alpha(episode.references)
        pixels = self._normalise(tiles.images.take(episode.references).stack())
        return self._adapted.measure(pixels, None if alpha_NHW is None else alpha_NHW.to(self._device) > 0)

    def _normalise(self, pixels_N3HW: Tensor) -> Tensor:
        return channels_last(self.backbone.normalise(pixels_N3HW.to(self._device)))

    def _trained_maps(
        self,
        domains: Sequence[SourceTiles],
        indices: Sequence[Sequence[int]],
        num_references: Sequence[int],
    ) -> list[tuple[list[Tensor], Tensor | None]]:
        """Maps with gradients, and what of the tiles counts, both flipped alike.

        The last `num_references` tiles of each episode are those that its statistics are of.
        """
        pixels = [d.tiles.images.take(i).stack() for d, i in zip(domains, indices, strict=True)]
        alphas = [d.tiles.alpha(i) for d, i in zip(domains, indices, strict=True)]
        if self.settings.flips:
            sizes = [len(i) for i in indices]
            draws = torch.split(draw_flips(sum(sizes), self._generator), sizes, dim=1)
            pixels = [flip(p, draw) for p, draw in zip(pixels, draws, strict=True)]
            alphas = [
                None if a is None else flip(a[:, None], d)[:, 0] for a, d in zip(alphas, draws, strict=True)
            ]
        if self._adapted is None:
            maps = run_by_shape(lambda part: self.backbone(part.to(self._device)), pixels)
        else:
            maps = self._adapted_maps(self._adapted, pixels, alphas, num_references)
        return list(zip(maps, alphas, strict=True))

    def _adapted_maps(
        self,
        adapted: AdaptedBody,
        stacks: Sequence[Tensor],
        alphas: Sequence[Tensor | None],
        num_references: Sequence[int],
    ) -> list[list[Tensor]]:
        """Maps of the episodes' tiles, each episode with the statistics of its own references."""
        of_row = [torch.full((len(stack),), i) for i, stack in enumerate(stacks)]
        is_reference = [
            torch.arange(len(stack)) >= len(stack) - count
            for stack, count in zip(stacks, num_references, strict=True)
        ]
        counted = [
            torch.ones(len(stack), *stack.shape[-2:], dtype=torch.bool) if alpha is None else alpha > 0
            for stack, alpha in zip(stacks, alphas, strict=True)
        ]

        def maps_of(stack: Tensor, members: Sequence[int]) -> list[Tensor]:
            counted_NHW = torch.cat([counted[i] for i in members])
            group_N = torch.unique(torch.cat([of_row[i] for i in members]), return_inverse=True)[1]
            adapt = functools.partial(
                adapted.run_episodes,
                group_N=group_N.to(self._device),
                is_reference_N=torch.cat([is_reference[i] for i in members]).to(self._device),
                counted_NHW=None if bool(counted_NHW.all()) else counted_NHW.to(self._device),
            )
            maps: list[Tensor] = self.backbone(stack.to(self._device), adapt)
            return maps

        return run_members_by_shape(maps_of, stacks)

    def _split(self, maps: Sequence[Tensor], alpha_NHW: Tensor | None, num_queries: int) -> EpisodeMaps:
        counted = None
        if alpha_NHW is not None:
            counted = [count_cells(alpha_NHW.to(self._device), m.shape[-2:]) for m in maps]
        return EpisodeMaps(
            queries=[m[:num_queries] for m in maps],
            references=[m[num_queries:] for m in maps],
            counted_queries=None if counted is None else [c[:num_queries] for c in counted],
            counted_references=None if counted is None else [c[num_queries:] for c in counted],
            pooled_area_px=self._area_px,
        )

    def _ranking(self, episode: Episode) -> Ranking:
        """Logits of tiles as they are, unflipped, against the episode's references."""
        tiles, references = episode.domain.tiles, episode.references
        statistics = self._measure(episode)

        @torch.no_grad()
        def maps_of(indices: Sequence[int]) -> list[Tensor]:
            images = tiles.images.take(indices)
            adapt = None
            if self._adapted is not None and statistics is not None:
                images = images.without_keys()
                adapt = functools.partial(self._adapted.run, statistics=[statistics] * len(images))
            if self.frozen is not None:
                return self.frozen.maps(images, statistics=statistics)
            maps: list[Tensor] = self.backbone(images.stack().to(self._device), adapt)
            return maps

        reference_maps = maps_of(references)

        def rank(candidates: Sequence[int]) -> Tensor:
            found = []
            for start in range(0, len(candidates), _RANKED_AT_ONCE):
                part = candidates[start : start + _RANKED_AT_ONCE]
                joined = [torch.cat(pair) for pair in zip(maps_of(part), reference_maps, strict=True)]
                maps = self._split(joined, tiles.alpha((*part, *references)), len(part))
                found.append(rank_tiles(self.comparer, maps, self._ranking_generator))
            return torch.cat(found).cpu()

        return rank
