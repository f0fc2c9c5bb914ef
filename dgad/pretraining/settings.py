"""What decides a pretraining run, but for how long it runs."""

import dataclasses

from dgad.settings import require


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PretrainSettings:
    """One recipe. Raises `SettingsError` for a value out of range."""

    backbone: str = "resnet18"
    """Any convolutional timm model that gives a pyramid of feature maps."""
    strides: tuple[int, ...] = (4, 8, 16)
    """In px, finest first: the levels that are trained, and kept."""
    num_joined: int = 2
    """Finest levels that are also trained as one joint map."""
    coarse_weight: float = 0.25
    """Of the loss of each coarser level: they compare worst, and would cost the finer ones."""
    image_size_px: int = 96
    domains_per_step: int = 6
    references: int = 3
    """Per episode, as `normals` and `abnormals`, its queries."""
    normals: int = 2
    abnormals: int = 2
    image_loss_weight: float = 1.0
    learning_rate: float = 1e-3
    warm_up_steps: int = 50
    """The rate rises over these and then stays: the averaged weights take the place of a decay, so a run
    can always go on."""
    weight_decay: float = 1e-4
    clip_norm: float = 5.0
    average_decay: float = 0.997
    """Of the exponential average of the weights, which is what is kept."""
    comparer_steps: int = 150
    """Steps of the comparer on the finished backbone."""
    comparer_learning_rate: float = 1e-3
    comparer_anchor_weight: float = 0.0
    """Pull of the comparer's weights towards where they start, an equal of `patch_knn`."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("domains_per_step", "references", "normals", "abnormals", "warm_up_steps"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("learning_rate", "clip_norm", "comparer_learning_rate"):
            require(getattr(self, name) > 0, name, "above 0", getattr(self, name))
        for name in ("image_loss_weight", "coarse_weight", "weight_decay", "comparer_steps"):
            require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        for name in ("comparer_anchor_weight", "seed"):
            require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        require(0 <= self.average_decay < 1, "average_decay", "at least 0 and below 1", self.average_decay)
        size = self.image_size_px
        require(size % 32 == 0 and size >= 64, "image_size_px", "a multiple of 32, at least 64", size)
        rule = "from 1 to the number of strides"
        require(1 <= self.num_joined <= len(self.strides), "num_joined", rule, self.num_joined)
        rising = list(self.strides) == sorted(set(self.strides))
        require(bool(self.strides) and rising, "strides", "different and rising, such as 4,8", self.strides)

    @property
    def queries(self) -> int:
        """Query images of an episode."""
        return self.normals + self.abnormals
