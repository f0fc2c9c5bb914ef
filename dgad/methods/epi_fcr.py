"""`epi_fcr`, `epi_fcr_pair`: episodic training for domain generalisation, Li et al. 2019 (ICCV)."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from dgad.generalisation.batches import DomainBatches
from dgad.generalisation.epi_fcr import EpiFcrNetworks, draw_episode
from dgad.generalisation.settings import TrainingSettings, check_pair
from dgad.methods.base import Traits
from dgad.methods.image_classifier import ImageClassifier
from dgad.seeds import seed_for
from dgad.settings import require
from dgad.training.loop import train


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EpiFcrSettings(TrainingSettings):
    """One configuration of Epi-FCR; raises `SettingsError` for a value out of range.

    The default steps take about 60 s on one CPU core at 128 px with three sources; each costs two of AGG's.
    """

    num_steps: int = 60
    num_warmup_steps: int = 10
    """Of `num_steps`, before the episodes start; published are 500 of 3,001."""
    random_weight: float = 0.1
    """Of the random classifier's cross-entropy; 0 leaves it out."""
    classifier_weight: float = 0.05
    """Of C on the features of another domain's network; 0 leaves it out."""
    feature_weight: float = 2.0
    """Of another domain's classifier on F; 0 leaves it out."""

    def __post_init__(self) -> None:
        TrainingSettings.__post_init__(self)
        require(
            0 <= self.num_warmup_steps <= self.num_steps,
            "num_warmup_steps",
            "from 0 to `num_steps`",
            self.num_warmup_steps,
        )
        for name in ["random_weight", "classifier_weight", "feature_weight"]:
            require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EpiFcrPairSettings(EpiFcrSettings):
    """One configuration of Epi-FCR+, about 85 s a fit; raises `SettingsError` for a value out of range."""

    references_per_domain: int = 2
    pair_hidden: int = 64
    """Hidden units of every classifier, which sees query and mean reference."""

    def __post_init__(self) -> None:
        EpiFcrSettings.__post_init__(self)
        check_pair(self.references_per_domain, self.pair_hidden)


class EpiFcrMethod(ImageClassifier):
    """F and C must also serve, and be served by, networks that know one other domain only."""

    name: ClassVar[str] = "epi_fcr"
    title: ClassVar[str] = "Epi-FCR"
    traits: ClassVar[Traits] = dataclasses.replace(ImageClassifier.traits, min_sources=2)
    settings_type: ClassVar[type[Any]] = EpiFcrSettings
    presets: ClassVar[Mapping[str, Any]] = {"default": EpiFcrSettings()}
    settings: EpiFcrSettings

    def _train(self, batches: DomainBatches, *, num_domains: int, seed: int) -> None:
        networks = EpiFcrNetworks(
            self.encoder,
            self.classifier,
            num_domains=num_domains,
            pair_hidden=self.pair_hidden,
            seed=seed_for(seed, "epi_fcr"),
        )
        domain_optimizer = self._sgd(networks.domain_parameters())
        generator = torch.Generator().manual_seed(seed_for(seed, "domain pairs") % 2**63)
        step = 0

        def step_loss() -> Tensor:
            nonlocal step
            step += 1
            domain_loss = networks.domain_loss(batches.draw())
            if not torch.isfinite(domain_loss):
                return domain_loss  # the loop refuses it, naming the step and the settings
            domain_optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(domain_loss)
            domain_optimizer.step()
            if step <= self.settings.num_warmup_steps:
                return networks.warm_up_loss(batches.draw())
            val, trn = draw_episode(num_domains, generator)
            return networks.aggregate_loss(
                batches.draw(),
                val=val,
                trn=trn,
                random_weight=self.settings.random_weight,
                classifier_weight=self.settings.classifier_weight,
                feature_weight=self.settings.feature_weight,
            )

        train(
            self._sgd(networks.aggregate_parameters()),
            step_loss,
            what=self.name,
            settings=self.settings,
            num_steps=self.settings.num_steps,
            progress=self.context.progress,
        )


class EpiFcrPairMethod(EpiFcrMethod):
    """Epi-FCR whose classifiers also see the mean reference."""

    name: ClassVar[str] = "epi_fcr_pair"
    title: ClassVar[str] = "Epi-FCR+"
    settings_type: ClassVar[type[Any]] = EpiFcrPairSettings
    presets: ClassVar[Mapping[str, Any]] = {"default": EpiFcrPairSettings()}
