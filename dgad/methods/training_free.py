"""What methods share that compare frozen features with those of the references and learn nothing."""

# N images, B blocks, C channels, h w the cells of a block's core

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.features.backbone import Backbone
from dgad.features.frozen import Blocks, FrozenFeatures, crop_to_core
from dgad.features.joint_map import joint_map
from dgad.features.passes import Passes
from dgad.features.statistics import Statistics, statistics_of
from dgad.methods.base import Context, Enrolled, Method, Traits
from dgad.seeds import seed_for
from dgad.training.sources import SourceDomain
from dgad.training.weights import collect_state, load_into


class TrainingFree(Method):
    """A frozen backbone whose levels are joined to one map, and weights that are the backbone's alone."""

    traits: ClassVar[Traits] = Traits(
        learns=False,
        needs_defects=False,
        min_sources=0,
        trains_at_enrolment=False,
        gives_pixels=True,
        servable=True,
    )

    takes_statistics: ClassVar[bool] = True
    zero_border: ClassVar[bool] = False
    """Whether means over neighbours take the zeros beyond an image's border too."""

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.fit((), seed=0)

    @abc.abstractmethod
    def make_backbone(self, *, seed: int) -> Backbone:
        """The backbone with the levels that the settings ask for."""

    def fit(self, sources: Sequence[SourceDomain], *, seed: int) -> None:
        """Nothing is learnt; random backbone weights are drawn from the seed, as for every method."""
        self.backbone = self.make_backbone(seed=seed_for(seed, "backbone")).to(self.context.device)
        self._frozen: FrozenFeatures | None = None

    def measure(self, references: ImageSet) -> Statistics | None:
        """The statistics that the surface's images are normalised with; None: the pretrained ones."""
        return self._frozen_features().measure(references)

    def joined_blocks(
        self, images: ImageSet, statistics: Statistics | None
    ) -> Iterator[tuple[Blocks, Tensor]]:
        """The images block by block, with the joined map (B, C, h, w) of the cells of each block's core."""
        batch_size = self.context.scoring_batch
        for blocks in self._frozen_features().blocks(images, batch_size, statistics=statistics):
            yield blocks, self._joined(blocks)

    def reference_passes(
        self, references: ImageSet, statistics: Statistics | None
    ) -> Iterable[tuple[Blocks, Tensor]]:
        """The same to go through more than once; few references are computed once."""
        return Passes(lambda: self.joined_blocks(references, statistics), references)

    def _joined(self, blocks: Blocks) -> Tensor:
        settings = self.settings
        joined = joint_map(blocks.levels, settings.neighbourhood, zero_border=self.zero_border)
        return crop_to_core(blocks, joined)

    def _frozen_features(self) -> FrozenFeatures:
        if self._frozen is None:
            self._frozen = FrozenFeatures(
                self.backbone,
                self.context.cache,
                self.context.device,
                # What the mean over neighbours and the interpolation between cells reach.
                margin_cells=self.settings.neighbourhood // 2 + 1,
            )
        return self._frozen

    def check_size(self, height: int, width: int) -> None:
        """Raise `SettingsError` where the backbone cannot be computed on such images, not in parts either."""
        self._frozen_features().check_size(height, width)

    def prepare(self, queries: ImageSet, enrolled: Sequence[Enrolled] = ()) -> None:
        """Compute the backbone's maps of the queries into the cache."""
        prepare_maps(self._frozen_features(), queries, enrolled, self.context.scoring_batch)

    def state(self) -> dict[str, Tensor]:
        """Copy the backbone's weights, all that a bundle needs of the method."""
        return collect_state({"": self.backbone})

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Raises `DataError` when the tensors are not those of these settings."""
        load_into({"": self.backbone}, state, method=self.name)
        self._frozen = None


def prepare_maps(
    features: FrozenFeatures, queries: ImageSet, enrolled: Sequence[Enrolled], batch_size: int
) -> None:
    """Compute the maps of queries into the cache, each as its target's statistics have them.

    Without targets there is nothing to do where those decide.
    """
    if enrolled or features.backbone.adaptation is None:
        features.prepare(
            queries, batch_size, statistics=[statistics_of(target.tensors) for target in enrolled]
        )
