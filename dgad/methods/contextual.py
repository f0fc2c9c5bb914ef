"""`contextual`: a comparer that sees residuals and their neighbourhood, learnt on procedural surfaces.

Every query patch is aligned, softly and at each level by itself, to its nearest reference patches. How far
each channel is off, in units of what left-out references show, and the distances go through a small
convolutional decoder, which corrects the distance of a plain nearest neighbour (soft alignment as in MetaUAS,
Gao 2024; residuals as in ResAD, Yao et al. 2024). Exact masks of procedural surfaces train it; never a
source, and never the target.
"""

# N images, C_i channels and h_i w_i cells of level i, h w those of the finest

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dgad.contextual.decoder import Decoder
from dgad.contextual.evidence import Evidence, gather_evidence
from dgad.contextual.memory import MapMemory, from_tensors, remember, to_tensors
from dgad.contextual.settings import ContextualSettings
from dgad.contextual.training import DecoderTraining, draw_surface
from dgad.domains.image_set import ImageSet
from dgad.features.backbone import Backbone, check_strides
from dgad.features.frozen import Blocks, FrozenFeatures, crop_to_core
from dgad.features.grids import Cells, PatchGrids
from dgad.features.passes import Passes
from dgad.features.settings import FeatureSettings
from dgad.features.statistics import Statistics, statistics_of, tensors_of
from dgad.methods.base import Context, Enrolled, Method, Scores, Traits, check_references
from dgad.methods.order import content_order
from dgad.methods.score_maps import draw_maps, pool_images
from dgad.methods.training_free import prepare_maps
from dgad.seeds import seed_for
from dgad.training.loop import one_cycle, train
from dgad.training.sources import SourceDomain
from dgad.training.weights import collect_state, load_into


class ContextualMethod(Method):
    """A nearest neighbour, corrected by a decoder that sees aligned residuals in their neighbourhood."""

    name: ClassVar[str] = "contextual"
    title: ClassVar[str] = "Contextual comparer"
    takes_statistics: ClassVar[bool] = True
    traits: ClassVar[Traits] = Traits(
        learns=True,
        needs_defects=False,
        min_sources=0,
        trains_at_enrolment=False,
        gives_pixels=True,
        servable=True,
    )
    settings_type: ClassVar[type[Any]] = ContextualSettings
    presets: ClassVar[Mapping[str, Any]] = {"default": ContextualSettings()}

    def __init__(self, settings: ContextualSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.settings: ContextualSettings = settings
        self._build(seed=0)

    def _build(self, *, seed: int) -> None:
        settings, device = self.settings, self.context.device
        backbone = Backbone(self.context.features, settings.strides, seed=seed_for(seed, "backbone"))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(seed, "decoder"))
            decoder = Decoder(backbone.channels, settings.width, settings.dropout)
        self.backbone = backbone.to(device)
        self.decoder = decoder.to(device).eval()
        self._frozen: FrozenFeatures | None = None

    @classmethod
    def traits_of(cls, settings: ContextualSettings) -> Traits:
        """As it starts it has learnt nothing."""
        return cls.traits if settings.num_steps > 0 else dataclasses.replace(cls.traits, learns=False)

    @classmethod
    def check_features(cls, settings: ContextualSettings, features: FeatureSettings) -> None:
        """It needs a backbone with its levels."""
        check_strides(features, settings.strides)

    # Training

    def fit(self, sources: Sequence[SourceDomain], *, seed: int) -> None:
        """Learn on procedural surfaces that are drawn from the seed; the sources are not looked at."""
        del sources
        settings = self.settings
        self.check_features(settings, self.context.features)
        self._build(seed=seed)
        if settings.num_steps == 0:
            return
        size_px = self.context.features.geometry.drawn_px
        surfaces = []
        for number in range(settings.num_synthetic_sources):
            one = seed_for(seed, "procedural surface", str(number))
            surfaces.append(draw_surface(settings, self._observe, seed=one, size_px=size_px))
            self.context.progress("surfaces", number + 1, settings.num_synthetic_sources, 0.0)
        training = DecoderTraining(
            self.decoder, settings, surfaces, device=self.context.device, seed=seed_for(seed, "training")
        )
        self.decoder.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(seed, "dropout"))
            train(
                torch.optim.AdamW(
                    self.decoder.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
                ),
                training.step_loss,
                what=self.name,
                settings=settings,
                num_steps=settings.num_steps,
                schedule=one_cycle(settings.num_steps),
                clip_norm=settings.clip_norm,
                progress=self.context.progress,
            )
        self.decoder.eval()

    def _observe(self, references: ImageSet, queries: ImageSet) -> Evidence:
        """The evidence of queries of one size that are one block each, in their order."""
        enrolled = self.enroll(references)
        memories = self._memories(enrolled)
        rows: list[Evidence | None] = [None] * len(queries)
        for blocks in self._blocks(queries, statistics_of(enrolled.tensors)):
            found = self._evidence(blocks, memories)
            for row, index in enumerate(blocks.images):
                rows[index] = _take(found, row)
        return _stack([row for row in rows if row is not None])

    # Enrolment

    @torch.no_grad()
    def enroll(self, references: ImageSet) -> Enrolled:
        """Memories of the joint map and of every level, and what left-out references show.

        The order of the references does not matter: they are sorted by content.
        """
        check_references(references)
        ordered = references.take(content_order(references))
        statistics = self._frozen_features().measure(ordered)
        passes = Passes(lambda: self._blocks(ordered, statistics), ordered)
        memories = remember(passes, Cells(ordered), self.settings, self.backbone.channels)
        tensors = to_tensors(memories) | tensors_of(statistics)
        return Enrolled(method=self.name, num_references=len(references), tensors=tensors)

    # Scoring

    @torch.no_grad()
    def score(self, queries: ImageSet, enrolled: Enrolled) -> Scores:
        """The mean of the largest patch logits, and the logits of all patches smoothed."""
        settings = self.settings
        memories = self._memories(enrolled)
        grids = PatchGrids(queries)
        for blocks in self._blocks(queries, statistics_of(enrolled.tensors)):
            logit_Bhw = self.decoder(self._evidence(blocks, memories))
            grids.fill(blocks, crop_to_core(blocks, logit_Bhw))
        return Scores(
            image=pool_images(
                grids,
                fraction=settings.top_fraction,
                pooled_area_px=self.context.features.geometry.pooled_area_px,
            ),
            pixels=draw_maps([grids], queries, sigma_px=settings.map_sigma_px),
        )

    def check_size(self, height: int, width: int) -> None:
        """Raise `SettingsError` where the backbone cannot be computed on such images, not in parts either."""
        self._frozen_features().check_size(height, width)

    def prepare(self, queries: ImageSet, enrolled: Sequence[Enrolled] = ()) -> None:
        """Compute the backbone's maps of the queries into the cache."""
        prepare_maps(self._frozen_features(), queries, enrolled, self.context.scoring_batch)

    def _memories(self, enrolled: Enrolled) -> tuple[MapMemory, ...]:
        kept = {name: tensor.to(self.context.device) for name, tensor in enrolled.tensors.items()}
        return from_tensors(kept, self.settings.num_levels)

    def _evidence(self, blocks: Blocks, memories: Sequence[MapMemory]) -> Evidence:
        return gather_evidence(blocks.levels, memories, num_neighbours=self.settings.num_neighbours)

    def _blocks(self, images: ImageSet, statistics: Statistics | None) -> Iterator[Blocks]:
        return self._frozen_features().blocks(images, self.context.scoring_batch, statistics=statistics)

    def _frozen_features(self) -> FrozenFeatures:
        if self._frozen is None:
            self._frozen = FrozenFeatures(
                self.backbone,
                self.context.cache,
                self.context.device,
                margin_cells=Decoder.reach_cells,
            )
        return self._frozen

    # State

    @property
    def _parts(self) -> dict[str, nn.Module]:
        return {"backbone": self.backbone, "decoder": self.decoder}

    def state(self) -> dict[str, Tensor]:
        """Copy the weights of backbone and decoder, as a bundle keeps them."""
        return collect_state(self._parts)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Raises `DataError` when the tensors are not those of these settings."""
        load_into(self._parts, state, method=self.name)
        self._frozen = None


def _take(evidence: Evidence, row: int) -> Evidence:
    return Evidence(
        plain_Bhw=evidence.plain_Bhw[row : row + 1],
        residuals=tuple(r[row : row + 1] for r in evidence.residuals),
        measures=tuple(m[row : row + 1] for m in evidence.measures),
    )


def _stack(rows: Sequence[Evidence]) -> Evidence:
    levels = range(len(rows[0].residuals))
    return Evidence(
        plain_Bhw=torch.cat([r.plain_Bhw for r in rows]),
        residuals=tuple(torch.cat([r.residuals[i] for r in rows]) for i in levels),
        measures=tuple(torch.cat([r.measures[i] for r in rows]) for i in levels),
    )
