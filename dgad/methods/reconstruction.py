"""What `autoencoder`, `memae`, `trustmae` share: a network trained at enrolment on the references alone."""

# R references, N images, B crops a step, S pixels a side

import abc
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from dgad.comparer.model import gaussian_smooth
from dgad.domains.image_set import ImageSet
from dgad.errors import DataError
from dgad.features.backbone import Backbone, check_strides
from dgad.features.frozen import FrozenFeatures
from dgad.features.settings import FeatureSettings
from dgad.methods.base import (
    Context,
    Enrolled,
    Method,
    Scores,
    Traits,
    check_references,
)
from dgad.methods.order import content_order
from dgad.reconstruction.crops import random_crops
from dgad.reconstruction.memory import Bottleneck
from dgad.reconstruction.networks import Reconstructor
from dgad.reconstruction.settings import ReconstructionSettings
from dgad.seeds import seed_for
from dgad.training.augmentation import random_flips
from dgad.training.loop import one_cycle, train
from dgad.training.sources import SourceDomain
from dgad.training.weights import collect_state, load_into


class ReconstructionMethod(Method):
    """Trains at enrolment, on references alone; what is reconstructed badly is anomalous.

    `fit` only remembers the seed. The trained network is what is enrolled, so one method scores any number
    of domains, each with its own network.
    """

    traits: ClassVar[Traits] = Traits(
        learns=False,
        needs_defects=False,
        min_sources=0,
        trains_at_enrolment=True,
        gives_pixels=True,
        servable=False,
    )
    settings: ReconstructionSettings

    def __init__(self, settings: ReconstructionSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.fit((), seed=0)

    # What the three methods differ in

    @classmethod
    def backbone_strides(cls, settings: ReconstructionSettings) -> tuple[int, ...]:
        """Maps that are needed of the backbone, finest first; none where there is nothing to see with it."""
        return (settings.stride,) if settings.encoder == "backbone" else ()

    @abc.abstractmethod
    def make_bottleneck(self) -> Bottleneck:
        """With random weights from the global generator, which is forked around the call."""

    def before_training(self, network: Reconstructor, references: ImageSet) -> None:
        """Take from the references what training needs beside the weights."""
        network.standardise_by(references.stack())

    def after_training(self, network: Reconstructor, references: ImageSet) -> None:
        """Take from the references and their reconstructions what scoring needs; in eval mode."""

    def loss(self, network: Reconstructor, pixels_B3SS: Tensor, images_B3SS: Tensor) -> Tensor:
        """Mean squared error of standardised pixels."""
        return (pixels_B3SS - network.standardise(images_B3SS)).square().mean()

    def error_maps(self, network: Reconstructor, pixels_N3SS: Tensor, queries: ImageSet) -> Tensor:
        """How badly each pixel is reconstructed, (N, S, S): squared error of standardised pixels."""
        images_N3SS = queries.stack().to(self.context.device)
        return (pixels_N3SS - network.standardise(images_N3SS)).square().mean(1)

    # The contract

    @classmethod
    def check_features(cls, settings: ReconstructionSettings, features: FeatureSettings) -> None:
        """A backbone that is used must have the levels."""
        strides = cls.backbone_strides(settings)
        if strides:
            check_strides(features, strides)

    def fit(self, sources: Sequence[SourceDomain], *, seed: int) -> None:
        """Nothing is learnt; random backbone weights are drawn from the seed, as for every method."""
        self.seed = seed
        self.backbone: Backbone | None = None
        self._frozen: FrozenFeatures | None = None
        strides = self.backbone_strides(self.settings)
        if strides:
            backbone = Backbone(self.context.features, strides, seed=seed_for(seed, "backbone"))
            self.backbone = backbone.requires_grad_(False).to(self.context.device)
        self._network = self._new_network().eval()
        """What enrolled tensors are put in to score; its own weights are never used."""

    def enroll(self, references: ImageSet) -> Enrolled:
        """Train a network on the references, in whatever order they come; its state is what is enrolled.

        Raises `TrainingError` on a loss that is not finite.
        """
        check_references(references)
        ordered = references.take(content_order(references))
        images_R3SS = ordered.stack()
        network = self._new_network().train()
        self.before_training(network, ordered)
        generator = torch.Generator().manual_seed(seed_for(self.seed, self.name, "crops"))
        settings = self.settings

        def step_loss() -> Tensor:
            drawn_B = torch.randint(len(images_R3SS), (settings.batch_size,), generator=generator)
            crops = random_crops(images_R3SS[drawn_B], settings.crop_px, generator)
            crops_B3SS = random_flips(crops, generator).to(self.context.device)
            pixels_B3SS, bottleneck_loss = network(self._seen(network, crops_B3SS))
            loss: Tensor = self.loss(network, pixels_B3SS, crops_B3SS) + bottleneck_loss
            return loss

        train(
            torch.optim.Adam(network.parameters(), lr=settings.learning_rate),
            step_loss,
            what=self.name,
            settings=settings,
            num_steps=settings.num_steps,
            schedule=one_cycle(settings.num_steps),
            clip_norm=settings.clip_norm,
            progress=self.context.progress,
        )
        self.after_training(network.eval(), ordered)
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
        return Enrolled(method=self.name, num_references=len(references), tensors=tensors)

    @torch.no_grad()
    def score(self, queries: ImageSet, enrolled: Enrolled) -> Scores:
        """Reconstruction errors, at least 0."""
        settings = self.settings
        network = self._network
        network.load_state_dict(dict(enrolled.tensors))
        images: list[Tensor] = [torch.zeros(0)]
        maps: list[Tensor] = []
        for batch in queries.batches(self.context.scoring_batch):
            map_NSS = self.error_maps(network, self.rebuild(network, batch), batch)
            if settings.map_sigma_px:
                map_NSS = gaussian_smooth(map_NSS, settings.map_sigma_px)
            num_top = max(1, round(settings.top_fraction * map_NSS[0].numel()))
            images.append(map_NSS.flatten(1).topk(num_top, dim=1).values.mean(1).cpu())
            maps += map_NSS.cpu().unbind(0)
        return Scores(image=torch.cat(images), pixels=tuple(maps))

    # The frozen backbone

    def maps(self, images_N3SS: Tensor) -> dict[int, Tensor]:
        """By stride the backbone's maps of images in 0 to 255 on the device; gradients reach the images."""
        assert self.backbone is not None
        return dict(zip(self.backbone.strides, self.backbone(images_N3SS), strict=True))

    def query_maps(self, queries: ImageSet) -> dict[int, Tensor]:
        """The same of decoded images, out of the feature cache where they are kept there."""
        assert self.backbone is not None
        if self._frozen is None:
            self._frozen = FrozenFeatures(self.backbone, self.context.cache, self.context.device)
        return dict(zip(self.backbone.strides, self._frozen.maps(queries), strict=True))

    @torch.no_grad()
    def _seen(self, network: Reconstructor, crops_B3SS: Tensor) -> Tensor:
        """What the network is given in training: nothing is kept, no crop comes twice."""
        if self.settings.encoder == "conv":
            return network.standardise(crops_B3SS)
        return self.maps(crops_B3SS)[self.settings.stride]

    @torch.no_grad()
    def rebuild(self, network: Reconstructor, images: ImageSet) -> Tensor:
        """Standardised pixels (N, 3, S, S) of whole images, of one batch."""
        if self.settings.encoder == "conv":
            seen = network.standardise(images.stack().to(self.context.device))
        else:
            seen = self.query_maps(images)[self.settings.stride]
        pixels_N3SS: Tensor = network(seen)[0]
        return pixels_N3SS

    def make_network(self, in_channels: int | None) -> Reconstructor:
        """With random weights from the global generator, which is forked around the call."""
        return Reconstructor(
            self.make_bottleneck(),
            in_channels=in_channels,
            width=self.settings.width,
            stride=self.settings.stride,
        )

    def _new_network(self) -> Reconstructor:
        """Weights drawn from the seed."""
        settings = self.settings
        in_channels = None
        if settings.encoder == "backbone":
            assert self.backbone is not None
            in_channels = self.backbone.channels[self.backbone.strides.index(settings.stride)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(self.seed, self.name, "network"))
            return self.make_network(in_channels).to(self.context.device)

    # State

    @property
    def _parts(self) -> dict[str, nn.Module]:
        return {} if self.backbone is None else {"backbone": self.backbone}

    def state(self) -> dict[str, Tensor]:
        """The seed that enrolment draws from, and the backbone's weights."""
        return {"seed": torch.tensor(self.seed, dtype=torch.int64), **collect_state(self._parts)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Raises `DataError` when the tensors are not those of these settings."""
        if "seed" not in state:
            raise DataError(f"The weights do not fit the settings of `{self.name}`: they lack `seed`.")
        load_into(self._parts, state, method=self.name)
        self.seed = int(state["seed"])
        self._frozen = None
