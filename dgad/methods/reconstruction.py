"""What `autoencoder`, `memae`, `trustmae` share: a network trained at enrolment on the references alone."""

# N tiles, B crops a step, H x W pixels of a tile or crop

import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from dgad.domains.geometry import map_stride
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
from dgad.methods.stitching import Stitcher, pool_map, smooth_inside
from dgad.reconstruction.crops import random_crops
from dgad.reconstruction.memory import Bottleneck
from dgad.reconstruction.networks import Reconstructor
from dgad.reconstruction.settings import ReconstructionSettings
from dgad.seeds import seed_for
from dgad.training.augmentation import random_flips
from dgad.training.loop import one_cycle, train
from dgad.training.sources import SourceDomain
from dgad.training.tiles import Tiles, tile_side_px
from dgad.training.weights import collect_state, load_into

_OVERLAP_PX = 32
"""What neighbouring tiles of a query share, unless the geometry says it."""


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

    def before_training(self, network: Reconstructor, references: Tiles) -> None:
        """Take from the references what training needs beside the weights."""
        network.standardise_by(_CountedPixels(references))

    def after_training(self, network: Reconstructor, references: Tiles) -> None:
        """Take from the references and their reconstructions what scoring needs; in eval mode."""

    def loss(
        self, network: Reconstructor, pixels_B3HW: Tensor, images_B3HW: Tensor, alpha_BHW: Tensor | None
    ) -> Tensor:
        """Mean squared error of standardised pixels that count."""
        return mean_counted((pixels_B3HW - network.standardise(images_B3HW)).square(), alpha_BHW)

    def error_maps(self, network: Reconstructor, pixels_N3HW: Tensor, tiles: ImageSet) -> Tensor:
        """How badly each pixel is reconstructed, (N, H, W): squared error of standardised pixels."""
        images_N3HW = tiles.stack().to(self.context.device)
        return (pixels_N3HW - network.standardise(images_N3HW)).square().mean(1)

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
        tiles = self._cut(references.take(content_order(references)), common=True)
        network = self._new_network().train()
        self.before_training(network, tiles)
        generator = torch.Generator().manual_seed(seed_for(self.seed, self.name, "crops"))
        settings = self.settings

        def step_loss() -> Tensor:
            drawn_B = torch.randint(len(tiles), (settings.batch_size,), generator=generator)
            crops = random_crops(tiles.read(drawn_B.tolist()), settings.crop_px, generator)
            crops_BCHW = random_flips(crops, generator).to(self.context.device)
            crops_B3HW = crops_BCHW[:, :3]
            alpha_BHW = crops_BCHW[:, 3] if crops_BCHW.shape[1] > 3 else None
            pixels_B3HW, bottleneck_loss = network(self._seen(network, crops_B3HW))
            loss: Tensor = self.loss(network, pixels_B3HW, crops_B3HW, alpha_BHW) + bottleneck_loss
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
        self.after_training(network.eval(), tiles)
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
        return Enrolled(method=self.name, num_references=len(references), tensors=tensors)

    @torch.no_grad()
    def score(self, queries: ImageSet, enrolled: Enrolled) -> Scores:
        """Reconstruction errors, at least 0; an image in tiles has one map, blended where they overlap."""
        settings, geometry = self.settings, self.context.features.geometry
        network = self._network
        network.load_state_dict(dict(enrolled.tensors))
        tiles = self._cut(queries)
        stitcher = Stitcher(tiles, self._overlap_px)
        images: list[Tensor] = [torch.zeros(0)]
        maps: list[Tensor] = []
        for batch in tiles.batches(self.context.scoring_batch):
            part = tiles.images.take(batch)
            error_NHW = self.error_maps(network, self.rebuild(network, part), part)
            for index, error_HW in zip(batch, error_NHW, strict=True):
                whole_hw = stitcher.add(index, error_HW)
                if whole_hw is None:
                    continue
                stride = map_stride(*queries.sizes[len(maps)])
                maps.append(smooth_inside(whole_hw, settings.map_sigma_px / stride))
                score = pool_map(
                    maps[-1],
                    settings.top_fraction,
                    stride=stride,
                    pooled_area_px=geometry.pooled_area_px,
                )
                images.append(score[None])
        return Scores(image=torch.cat(images), pixels=tuple(maps))

    # Tiles

    @property
    def _overlap_px(self) -> int:
        """What neighbouring tiles of a query share, a multiple of 4 and at most half a tile."""
        overlap_px = self.context.features.geometry.overlap_px
        wanted = _OVERLAP_PX if overlap_px is None else overlap_px
        return min(-(-wanted // 4) * 4, self._tile_px // 2)

    @property
    def _window_px(self) -> int | None:
        return None if self.backbone is None else self.backbone.window_px

    @property
    def _tile_px(self) -> int:
        return tile_side_px(self.context.features.geometry) if self._window_px is None else self._window_px

    def _cut(self, images: ImageSet, *, common: bool = False) -> Tiles:
        """Tiles of references, all of one shape, or of queries, which overlap."""
        return Tiles(
            images,
            self._tile_px,
            overlap_px=0 if common else self._overlap_px,
            common=common,
            square=self._window_px is not None,
        )

    # The frozen backbone

    def maps(self, images_N3HW: Tensor) -> dict[int, Tensor]:
        """By stride the backbone's maps of images in 0 to 255 on the device; gradients reach the images."""
        assert self.backbone is not None
        return dict(zip(self.backbone.strides, self.backbone(images_N3HW), strict=True))

    def query_maps(self, tiles: ImageSet) -> dict[int, Tensor]:
        """The same of decoded tiles, out of the feature cache where they are kept there."""
        assert self.backbone is not None
        if self._frozen is None:
            self._frozen = FrozenFeatures(self.backbone, self.context.cache, self.context.device)
        return dict(zip(self.backbone.strides, self._frozen.maps(tiles), strict=True))

    @torch.no_grad()
    def _seen(self, network: Reconstructor, crops_B3HW: Tensor) -> Tensor:
        """What the network is given in training: nothing is kept, no crop comes twice."""
        if self.settings.encoder == "conv":
            return network.standardise(crops_B3HW)
        return self.maps(crops_B3HW)[self.settings.stride]

    @torch.no_grad()
    def rebuild(self, network: Reconstructor, images: ImageSet) -> Tensor:
        """Standardised pixels (N, 3, H, W) of whole tiles, of one batch."""
        if self.settings.encoder == "conv":
            seen = network.standardise(images.stack().to(self.context.device))
        else:
            seen = self.query_maps(images)[self.settings.stride]
        pixels_N3HW: Tensor = network(seen)[0]
        return pixels_N3HW

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


class _CountedPixels:
    """The pixels that count of every tile, uint8 (3, h, w) or (3, 1, K); read again each time."""

    def __init__(self, tiles: Tiles) -> None:
        self._tiles = tiles

    def __iter__(self) -> Iterator[Tensor]:
        for index in range(len(self._tiles)):
            pixels_3HW = self._tiles.images.images[index]
            inside = self._tiles.inside(index)
            yield pixels_3HW if inside is None else pixels_3HW[:, torch.from_numpy(inside)][:, None]


def mean_counted(error_BCHW: Tensor, alpha_BHW: Tensor | None) -> Tensor:
    """Mean of errors (B, C, H, W) at pixels that count; None: all."""
    if alpha_BHW is None:
        return error_BCHW.mean()
    counted_B1HW = (alpha_BHW > 0).to(error_BCHW)[:, None]
    # A crop may lie outside of the region of interest.
    return (error_BCHW * counted_B1HW).sum() / (counted_B1HW.sum() * error_BCHW.shape[1]).clamp_min(1)
