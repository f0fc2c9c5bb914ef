"""`comparer`: the paper's meta-comparer (Chen et al., 2022), Eq. 1 to 6, with its alternatives."""

# B queries, R references, N images, S pixels a side, P patches, C channels, K reference patches, L levels

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dgad.comparer.model import Comparer, LevelStatistics, patches
from dgad.comparer.reference_pools import choose, embed_patches, pool_references
from dgad.comparer.settings import PRESETS, ComparerSettings
from dgad.comparer.start import check_start, load_builtin
from dgad.comparer.training import EpisodeTraining
from dgad.domains.image_set import ImageSet
from dgad.features.backbone import Backbone, check_strides
from dgad.features.frozen import Blocks, FrozenFeatures, crop_to_core
from dgad.features.grids import Cells, PatchGrids
from dgad.features.memory.nearest import usual_distances
from dgad.features.moments import Moments
from dgad.features.passes import Passes
from dgad.features.settings import FeatureSettings
from dgad.features.statistics import Statistics, statistics_of, tensors_of
from dgad.methods.base import (
    Context,
    Enrolled,
    Method,
    Scores,
    Traits,
    check_references,
)
from dgad.methods.order import content_order
from dgad.methods.score_maps import draw_maps, pool_images
from dgad.methods.training_free import prepare_maps
from dgad.seeds import seed_for
from dgad.training.episodes import EpisodeSampler
from dgad.training.loop import one_cycle, train, trainable
from dgad.training.source_tiles import cut_sources
from dgad.training.sources import SourceDomain
from dgad.training.synthetic_sources import draw_sources
from dgad.training.tiles import tile_side_px
from dgad.training.weights import collect_state, load_into

_MAX_CALIBRATION_FOLDS = 10


class ComparerMethod(Method):
    """Meta-trained on episodes of the sources; compares patches of a query with reference patches."""

    name: ClassVar[str] = "comparer"
    takes_statistics: ClassVar[bool] = True
    title: ClassVar[str] = "Meta-comparer"
    traits: ClassVar[Traits] = Traits(
        learns=True,
        needs_defects=True,
        min_sources=1,
        trains_at_enrolment=False,
        gives_pixels=True,
        servable=True,
    )
    settings_type: ClassVar[type[Any]] = ComparerSettings
    presets: ClassVar[Mapping[str, Any]] = PRESETS

    def __init__(self, settings: ComparerSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.settings: ComparerSettings = settings
        self._build(seed=0)

    def _build(self, *, seed: int) -> None:
        """Draw every weight from the seed; the backbone's stream is shared by all methods."""
        settings, device = self.settings, self.context.device
        backbone = Backbone(self.context.features, settings.strides, seed=seed_for(seed, "backbone"))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(seed, "comparer"))
            comparer = Comparer(backbone.channels, settings)
        self.backbone = backbone.to(device)
        self.comparer = comparer.to(device)
        self._frozen: FrozenFeatures | None = None

    @classmethod
    def traits_of(cls, settings: ComparerSettings) -> Traits:
        """As it starts it needs nothing; with procedural sources it needs no others."""
        if settings.num_steps == 0:
            return dataclasses.replace(cls.traits, learns=False, needs_defects=False, min_sources=0)
        if settings.num_synthetic_sources > 0:
            return dataclasses.replace(cls.traits, min_sources=0)
        return cls.traits

    @classmethod
    def check_features(cls, settings: ComparerSettings, features: FeatureSettings) -> None:
        """Its levels; `init` builtin needs builtin features and the shipped structure."""
        check_strides(features, settings.strides)
        check_start(settings, features)

    # Training

    def fit(self, sources: Sequence[SourceDomain], *, seed: int) -> None:
        """Episodic training over the sources; with `num_steps` 0 only the initialisation."""
        settings, features = self.settings, self.context.features
        self.check_features(settings, features)
        self._build(seed=seed)
        if settings.init == "builtin":
            load_builtin(self.comparer)
        if settings.num_steps == 0:
            return
        synthetic = draw_sources(
            settings.num_synthetic_sources,
            seed=seed_for(seed, "synthetic sources"),
            image_size_px=features.geometry.drawn_px,
        )
        window_px = self.backbone.window_px
        sampler = EpisodeSampler(
            cut_sources(
                (*sources, *synthetic),
                tile_side_px(features.geometry) if window_px is None else window_px,
                square=window_px is not None,
            ),
            seed=seed_for(seed, "episodes"),
            domains_per_step=settings.domains_per_step,
            normals=settings.normals_per_domain,
            abnormals=settings.abnormals_per_domain,
            references=settings.references_per_domain,
        )
        is_frozen = settings.backbone_mode == "frozen"
        training = EpisodeTraining(
            self.backbone,
            self.comparer,
            sampler,
            frozen=self._frozen_features() if is_frozen else None,
            pooled_area_px=features.geometry.pooled_area_px,
            device=self.context.device,
            seed=seed,
        )
        trained = [*self.comparer.parameters()]
        if not is_frozen:
            trained += self.backbone.parameters()
        train(
            torch.optim.AdamW(
                trainable(trained), lr=settings.learning_rate, weight_decay=settings.weight_decay
            ),
            training.step_loss,
            what=self.name,
            settings=settings,
            num_steps=settings.num_steps,
            schedule=one_cycle(settings.num_steps),
            clip_norm=settings.clip_norm,
            anchor_weight=settings.anchor_weight,
            kept_share=settings.kept_share,
            progress=self.context.progress,
        )
        self._frozen = None

    def _frozen_features(self) -> FrozenFeatures:
        if self._frozen is None:
            is_trained = self.settings.backbone_mode == "fine_tuned" and self.settings.num_steps > 0
            self._frozen = FrozenFeatures(
                self.backbone,
                self.context.cache,
                self.context.device,
                lasting=not is_trained,
                margin_cells=self.comparer.pyramid.reach_cells,
            )
        return self._frozen

    # Enrolment

    @torch.no_grad()
    def enroll(self, references: ImageSet) -> Enrolled:
        """Projected reference patches, normalisation and calibration statistics of every level.

        The order of the references does not matter: they are sorted by content before patches are drawn.
        """
        check_references(references)
        ordered = references.take(content_order(references))
        cells, everyone = Cells(ordered), range(len(ordered))
        statistics = self._frozen_features().measure(ordered)
        passes = self._passes(ordered, statistics)
        kept = pool_references(self.comparer, passes, cells, everyone)
        tensors = tensors_of(statistics)
        locations, scales = self._calibration(ordered, passes, cells)
        for i, level in enumerate(kept.statistics):
            tensors[f"level{i}.mean"], tensors[f"level{i}.std"] = level.mean_C, level.std
        for i, (pool_GKC, owner_K) in enumerate(kept.pools):
            tensors[f"level{i}.pools"] = self.comparer.head.project_reference(pool_GKC)
            tensors[f"level{i}.location"], tensors[f"level{i}.scale"] = locations[i], scales[i]
            if self.settings.density_correction:
                tensors[f"level{i}.usual"] = usual_distances(pool_GKC[0], owner_K)
        return Enrolled(method=self.name, num_references=len(references), tensors=tensors)

    def _calibration(
        self, references: ImageSet, passes: Passes[Blocks], cells: Cells
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Location and scale of every level's patch logits on left-out references; 0 and 1 without.

        Normalisation, the backbone's statistics included, is recomputed inside each round; with more than
        ten references the rounds are folds.
        One reference leaves nothing to leave out, so it is not calibrated.
        """
        num_levels, device = self._num_scored_levels, self.context.device
        num_references = len(references)
        if not self.settings.level_calibration or num_references < 2:
            zero = torch.zeros((), device=device)
            return [zero] * num_levels, [torch.ones_like(zero)] * num_levels
        num_folds = min(num_references, _MAX_CALIBRATION_FOLDS)
        moments = [Moments() for _ in range(num_levels)]
        for fold in range(num_folds):
            out = [i for i in range(num_references) if i % num_folds == fold]
            others = [i for i in range(num_references) if i % num_folds != fold]
            statistics = self._frozen_features().measure(references.take(others))
            if statistics is not None:
                passes = self._passes(references, statistics)
            kept = pool_references(self.comparer, passes, cells, others)
            pools = [self.comparer.head.project_reference(pool_GKC) for pool_GKC, _ in kept.pools]
            for blocks in choose(passes, out):
                left_out = embed_patches(self.comparer, blocks, kept.statistics, cells)
                for patch_rows, pool_GKD, moment in zip(left_out, pools, moments, strict=True):
                    logit_BP = self.comparer.patch_logits(
                        torch.cat(patch_rows)[None], pool_GKD, compiled=self.context.compiled
                    )
                    moment.add(logit_BP.view(-1, 1))
        deviations = [(m.variance[0] * m.count / max(1, m.count - 1)).sqrt() for m in moments]
        return [m.mean[0].float() for m in moments], [d.clamp_min(1e-6).float() for d in deviations]

    # Scoring

    @torch.no_grad()
    def score(self, queries: ImageSet, enrolled: Enrolled) -> Scores:
        """Image logits (Eq. 5), those of every level, and pixel logits (Eq. 6)."""
        settings = self.settings
        kept = {name: tensor.to(self.context.device) for name, tensor in enrolled.tensors.items()}
        grids = [PatchGrids(queries) for _ in range(self._num_scored_levels)]
        for blocks in self._blocks(queries, statistics_of(enrolled.tensors)):
            for logit_Bhw, grid in zip(self._level_logits(blocks, kept), grids, strict=True):
                grid.fill(blocks, logit_Bhw)
        fraction = None if settings.score_pooling == "max" else settings.top_fraction
        area = self.context.features.geometry.pooled_area_px
        levels_NL = torch.stack(
            [pool_images(grid, fraction=fraction, pooled_area_px=area) for grid in grids], dim=1
        )
        return Scores(
            image=levels_NL.amax(1),
            pixels=draw_maps(grids, queries, sigma_px=settings.map_sigma_px),
            levels=levels_NL,
        )

    def check_size(self, height: int, width: int) -> None:
        """Raise `SettingsError` where the backbone cannot be computed on such images, not in parts either."""
        self._frozen_features().check_size(height, width)

    def prepare(self, queries: ImageSet, enrolled: Sequence[Enrolled] = ()) -> None:
        """The backbone's maps, of which the references decide the statistics alone."""
        prepare_maps(self._frozen_features(), queries, enrolled, self.context.scoring_batch)

    def _blocks(self, images: ImageSet, statistics: Statistics | None) -> Iterator[Blocks]:
        batch_size = self.context.scoring_batch
        return self._frozen_features().blocks(images, batch_size, statistics=statistics)

    def _passes(self, images: ImageSet, statistics: Statistics | None) -> Passes[Blocks]:
        return Passes(lambda: self._blocks(images, statistics), images)

    @property
    def _num_scored_levels(self) -> int:
        return self.settings.num_levels if self.settings.scored_levels == "all" else 1

    def _level_logits(self, blocks: Blocks, kept: Mapping[str, Tensor]) -> list[Tensor]:
        """Calibrated patch logits (B, h_i, w_i) of every level, of the blocks' cores."""
        statistics = [
            LevelStatistics(mean_C=kept[f"level{i}.mean"], std=kept[f"level{i}.std"])
            for i in range(self.settings.num_levels)
        ]
        logits = []
        for i, margined in enumerate(self.comparer.embed(blocks.levels, statistics)):
            level = crop_to_core(blocks, margined)
            patch_BP = self.comparer.patch_logits(
                patches(level),
                kept[f"level{i}.pools"],
                usual_K=kept.get(f"level{i}.usual"),
                compiled=self.context.compiled,
            )
            calibrated = (patch_BP - kept[f"level{i}.location"]) / kept[f"level{i}.scale"]
            logits.append(calibrated.view(level.shape[0], *level.shape[-2:]))
        return logits

    # State

    @property
    def _parts(self) -> dict[str, nn.Module]:
        return {"backbone": self.backbone, "comparer": self.comparer}

    def state(self) -> dict[str, Tensor]:
        """Copy the weights of backbone and comparer, as a bundle keeps them."""
        return collect_state(self._parts)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Raises `DataError` when the tensors are not those of these settings."""
        load_into(self._parts, state, method=self.name)
        self._frozen = None
