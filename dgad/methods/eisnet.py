"""`eisnet`, `eisnet_pair`: extrinsic and intrinsic supervision, Wang et al. 2020 (ECCV)."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from dgad.generalisation.batches import DomainBatches
from dgad.generalisation.eisnet import EisnetNetworks
from dgad.generalisation.settings import TrainingSettings, check_pair
from dgad.methods.image_classifier import ImageClassifier
from dgad.seeds import seed_for
from dgad.settings import require
from dgad.training.loop import step_decay, train

_DECAY_AT = 0.6
_DECAY_FACTOR = 0.1
"""Of the learning rate, from that share of the steps on."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EisnetSettings(TrainingSettings):
    """One configuration of EISNet; raises `SettingsError` for a value out of range.

    The default steps take about 55 s on one CPU core at 128 px with three sources; published are 100 epochs.
    """

    num_steps: int = 90
    weight_decay: float = 2e-5
    jigsaw_weight: float = 0.7
    """0 leaves the loss out; images are still shuffled unless `identity_probability` is 1."""
    identity_probability: float = 0.9
    """Of an image staying in order."""
    triplet_weight: float = 0.5
    margin: float = 2.0
    """Of the triplet loss, in squared distances of unit vectors (0 to 4)."""
    num_negatives: int = 256
    """Semi-hard negatives drawn for every anchor and positive, at most."""
    queue_size: int = 1024
    ema_decay: float = 0.999
    """Of the averaged encoder, each step."""

    def __post_init__(self) -> None:
        TrainingSettings.__post_init__(self)
        for name in ["jigsaw_weight", "triplet_weight"]:
            require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        for name in ["num_negatives", "queue_size"]:
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ["identity_probability", "ema_decay"]:
            require(0 <= getattr(self, name) <= 1, name, "from 0 to 1", getattr(self, name))
        require(self.margin > 0, "margin", "above 0", self.margin)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EisnetPairSettings(EisnetSettings):
    """One configuration of EISNet+, about 70 s a fit; raises `SettingsError` for a value out of range."""

    references_per_domain: int = 2
    pair_hidden: int = 64
    """Hidden units of the class head, which sees query and mean reference; the other heads see the query."""

    def __post_init__(self) -> None:
        EisnetSettings.__post_init__(self)
        check_pair(self.references_per_domain, self.pair_hidden)


class EisnetMethod(ImageClassifier):
    """Beside the classes, the encoder learns to solve jigsaws and to tell classes apart by distance."""

    name: ClassVar[str] = "eisnet"
    title: ClassVar[str] = "EISNet"
    settings_type: ClassVar[type[Any]] = EisnetSettings
    presets: ClassVar[Mapping[str, Any]] = {"default": EisnetSettings()}
    settings: EisnetSettings

    def _train(self, batches: DomainBatches, *, num_domains: int, seed: int) -> None:
        del num_domains
        settings = self.settings
        networks = EisnetNetworks(
            self.encoder, self.classifier, queue_size=settings.queue_size, seed=seed_for(seed, "eisnet")
        )

        def step_loss() -> Tensor:
            return networks.loss(
                batches.draw(),
                identity_probability=settings.identity_probability,
                jigsaw_weight=settings.jigsaw_weight,
                margin=settings.margin,
                num_negatives=settings.num_negatives,
                triplet_weight=settings.triplet_weight,
            )

        train(
            self._sgd(networks.trained_parameters()),
            step_loss,
            what=self.name,
            settings=settings,
            num_steps=settings.num_steps,
            schedule=step_decay(settings.num_steps, at=_DECAY_AT, factor=_DECAY_FACTOR),
            after_step=lambda: networks.update_average(settings.ema_decay),
            progress=self.context.progress,
        )


class EisnetPairMethod(EisnetMethod):
    """EISNet whose class head also sees the mean reference."""

    name: ClassVar[str] = "eisnet_pair"
    title: ClassVar[str] = "EISNet+"
    settings_type: ClassVar[type[Any]] = EisnetPairSettings
    presets: ClassVar[Mapping[str, Any]] = {"default": EisnetPairSettings()}
