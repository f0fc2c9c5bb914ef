"""`agg`, `agg_pair`: one classifier for all sources, the baseline of Li et al. 2019 (ICCV)."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from dgad.generalisation.batches import DomainBatches, embed
from dgad.generalisation.losses import summed_cross_entropy
from dgad.generalisation.settings import TrainingSettings, check_pair
from dgad.methods.image_classifier import ImageClassifier
from dgad.training.loop import train


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class AggSettings(TrainingSettings):
    """One configuration of AGG; raises `SettingsError` for a value out of range.

    The default steps take about 50 s on one CPU core at 128 px with three sources; the release of Epi-FCR,
    whose baseline this is, takes 3,001 of 32 images a source.
    """

    num_steps: int = 120


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class AggPairSettings(AggSettings):
    """One configuration of AGG+, about 75 s a fit; raises `SettingsError` for a value out of range."""

    references_per_domain: int = 2
    pair_hidden: int = 64
    """Hidden units of the classifier, which sees query and mean reference."""

    def __post_init__(self) -> None:
        AggSettings.__post_init__(self)
        check_pair(self.references_per_domain, self.pair_hidden)


class AggMethod(ImageClassifier):
    """Sums the cross-entropies of one batch of every source."""

    name: ClassVar[str] = "agg"
    title: ClassVar[str] = "AGG"
    settings_type: ClassVar[type[Any]] = AggSettings
    presets: ClassVar[Mapping[str, Any]] = {"default": AggSettings()}

    def _train(self, batches: DomainBatches, *, num_domains: int, seed: int) -> None:
        del num_domains, seed
        train(
            self._sgd([*self.encoder.parameters(), *self.classifier.parameters()]),
            lambda: self._step_loss(batches),
            what=self.name,
            settings=self.settings,
            num_steps=self.settings.num_steps,
            progress=self.context.progress,
        )

    def _step_loss(self, batches: DomainBatches) -> Tensor:
        drawn = batches.draw()
        logits = [self.classifier(*embedded) for embedded in embed(self.encoder, drawn)]
        return summed_cross_entropy(logits, [b.labels_B for b in drawn])


class AggPairMethod(AggMethod):
    """AGG whose classifier also sees the mean reference."""

    name: ClassVar[str] = "agg_pair"
    title: ClassVar[str] = "AGG+"
    settings_type: ClassVar[type[Any]] = AggPairSettings
    presets: ClassVar[Mapping[str, Any]] = {"default": AggPairSettings()}
