"""What the domain-generalisation methods share: one encoder, one classifier of whole images, no pixel maps.

The query-reference variants (the paper's "+") give the classifier the mean reference embedding as a second
input; in training references are normals of the query's own source, at enrolment those of the target.
"""

# N images, R references, C channels

import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dgad.domains.image_set import ImageSet
from dgad.errors import DataError
from dgad.features.backbone import check_strides
from dgad.features.frozen import FrozenFeatures
from dgad.features.settings import FeatureSettings
from dgad.generalisation.batches import DomainBatches
from dgad.generalisation.encoder import Classifier, Encoder, anomaly_logit
from dgad.generalisation.settings import MOMENTUM, TrainingSettings
from dgad.methods.base import (
    Context,
    Enrolled,
    Method,
    Scores,
    Traits,
    check_references,
)
from dgad.methods.order import content_order
from dgad.seeds import seed_for
from dgad.training.source_tiles import cut_sources
from dgad.training.sources import SourceDomain, check_sources
from dgad.training.tiles import Tiles, tile_side_px
from dgad.training.weights import collect_state, load_into

_EMBEDDED_AT_ONCE = 16
"""Reference tiles whose maps are in memory together."""
_NUM_STANDARDISING_DRAWS = 4
"""Steps' worth of queries by which embeddings are standardised before training."""


class ImageClassifier(Method):
    """Learns normal against abnormal from the sources; a query's score is the difference of the logits."""

    traits: ClassVar[Traits] = Traits(
        learns=True,
        needs_defects=True,
        min_sources=1,
        trains_at_enrolment=False,
        gives_pixels=False,
        servable=False,
    )
    settings: TrainingSettings

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self._build(seed=0)

    @property
    def pair_hidden(self) -> int | None:
        """Width of the classifier's hidden layer in the query-reference variants, else None."""
        hidden: int | None = getattr(self.settings, "pair_hidden", None)
        return hidden

    def _build(self, *, seed: int) -> None:
        """Draw every weight from the seed; the backbone's stream is shared by all methods."""
        device = self.context.device
        self.encoder = Encoder(
            self.context.features, self.settings.stride, seed=seed_for(seed, "backbone")
        ).to(device)
        self.classifier = Classifier(
            self.encoder.channels, pair_hidden=self.pair_hidden, seed=seed_for(seed, "classifier")
        ).to(device)
        self._frozen: FrozenFeatures | None = None

    @classmethod
    def check_features(cls, settings: TrainingSettings, features: FeatureSettings) -> None:
        """Its level needs a pyramid that has it."""
        check_strides(features, (settings.stride,))

    # Training

    def fit(self, sources: Sequence[SourceDomain], *, seed: int) -> None:
        """Train encoder and classifier on batches of every source.

        Raises `DataError` for fewer sources than the method needs, or unusable ones, and `TrainingError`
        on a loss that is not finite.
        """
        check_sources(sources)
        if len(sources) < self.traits.min_sources:
            raise DataError(
                f"`{self.name}` needs at least {self.traits.min_sources} source domains, one to learn from"
                f" and one to test on in every step, but got {len(sources)}."
            )
        self._build(seed=seed)
        window_px = self.encoder.backbone.window_px
        batches = DomainBatches(
            cut_sources(sources, self._tile_px, square=window_px is not None),
            seed=seed,
            normals=self.settings.normals_per_domain,
            abnormals=self.settings.abnormals_per_domain,
            references=getattr(self.settings, "references_per_domain", 0),
            device=self.context.device,
            rank=self._rank,
        )
        first = [b.queries_B3HW for _ in range(_NUM_STANDARDISING_DRAWS) for b in batches.draw()]
        self.encoder.standardise(first)
        self._train(batches, num_domains=len(sources), seed=seed)
        self._frozen = None

    @abc.abstractmethod
    def _train(self, batches: DomainBatches, *, num_domains: int, seed: int) -> None:
        """Change the weights of `encoder` and `classifier` by `num_steps` steps."""

    def _sgd(self, parameters: Sequence[nn.Parameter] | Iterator[nn.Parameter]) -> torch.optim.SGD:
        settings = self.settings
        return torch.optim.SGD(
            parameters, lr=settings.learning_rate, momentum=MOMENTUM, weight_decay=settings.weight_decay
        )

    # Enrolment and scoring

    @torch.no_grad()
    def enroll(self, references: ImageSet) -> Enrolled:
        """The mean embedding (C,) of all reference tiles, or nothing where references are not looked at."""
        check_references(references)
        tensors: dict[str, Tensor] = {}
        if self.pair_hidden is not None:
            tiles = self._cut(references.take(content_order(references)))
            embeddings = [self._embeddings(tiles, batch) for batch in tiles.batches(_EMBEDDED_AT_ONCE)]
            tensors["reference"] = torch.cat(embeddings).mean(0)
        return Enrolled(method=self.name, num_references=len(references), tensors=tensors)

    @torch.no_grad()
    def score(self, queries: ImageSet, enrolled: Enrolled) -> Scores:
        """Abnormal minus normal class logit, of an image in tiles that of the worst one."""
        reference_C = enrolled.tensors.get("reference")
        if reference_C is not None:
            reference_C = reference_C.to(self.context.device)
        image_N = torch.full((len(queries),), -torch.inf)
        tiles = self._cut(queries)
        for batch in tiles.batches(self.context.scoring_batch):
            logit_B = anomaly_logit(self.classifier(self._embeddings(tiles, batch), reference_C)).cpu()
            owner_B = torch.tensor([tiles.tiles[index].image for index in batch])
            image_N.scatter_reduce_(0, owner_B, logit_B, "amax")
        return Scores(image=image_N, pixels=None)

    @property
    def _tile_px(self) -> int:
        window_px = self.encoder.backbone.window_px
        return tile_side_px(self.context.features.geometry) if window_px is None else window_px

    def _cut(self, images: ImageSet) -> Tiles:
        return Tiles(images, self._tile_px, square=self.encoder.backbone.window_px is not None)

    @torch.no_grad()
    def _rank(self, queries_B3HW: Tensor, references_R3HW: Tensor) -> Tensor:
        """Anomaly logits (B,) of tiles by encoder and classifier as they are."""
        reference_C = None if self.pair_hidden is None else self.encoder(references_R3HW).mean(0)
        return anomaly_logit(self.classifier(self.encoder(queries_B3HW), reference_C))

    def _embeddings(self, tiles: Tiles, indices: Sequence[int]) -> Tensor:
        """Embeddings (N, C) of tiles of one shape by the trained encoder, whose maps are kept per tile."""
        if self._frozen is None:
            self._frozen = FrozenFeatures(
                self.encoder.backbone, self.context.cache, self.context.device, lasting=False
            )
        (map_NChw,) = self._frozen.maps(tiles.images.take(indices))
        alpha_NHW = tiles.alpha(indices)
        return self.encoder.pooled(map_NChw, None if alpha_NHW is None else alpha_NHW.to(map_NChw.device))

    # State

    @property
    def _parts(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "classifier": self.classifier}

    def state(self) -> dict[str, Tensor]:
        """Weights of the encoder and the classifier: what scoring needs."""
        return collect_state(self._parts)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Raises `DataError` when the tensors are not those of these settings."""
        load_into(self._parts, state, method=self.name)
        self._frozen = None
