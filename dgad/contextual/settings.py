"""Everything about the contextual comparer that a search may choose."""

import dataclasses
from typing import Literal

from dgad.settings import check_pyramid, pyramid_strides, require


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ContextualSettings:
    """One configuration; raises `SettingsError` for a value out of range."""

    finest_stride: Literal[4, 8] = 4
    num_levels: int = 3
    """L, 1 to 4; every level is aligned by itself."""
    num_neighbours: int = 5
    """Reference patches that a query patch is aligned to, softly."""
    max_memory_patches: int = 2048
    """Per level: of more reference patches so many are kept that cover the others."""
    width: int = 40
    """Channels of the decoder."""
    dropout: float = 0.1
    """Share of the residuals' channels that training leaves out."""
    top_fraction: float = 0.03
    """Of an image's patches, whose mean stands for the image, in training and in scoring."""
    map_sigma_px: float = 4.0

    num_steps: int = 300
    """0 leaves the decoder as it starts: a nearest neighbour."""
    num_synthetic_sources: int = 300
    """Procedural surfaces that are drawn from the fit's seed and trained on; each takes some 2 MB."""
    references_per_domain: int = 10
    normals_per_domain: int = 4
    abnormals_per_domain: int = 4
    domains_per_step: int = 4
    image_weight: float = 1.0
    """Of the ranking of images beside the loss of patches."""
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    clip_norm: float = 5.0

    def __post_init__(self) -> None:
        at_least_one = (
            "num_neighbours max_memory_patches width normals_per_domain abnormals_per_domain domains_per_step"
        )
        for name in at_least_one.split():
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ["num_steps", "image_weight", "weight_decay", "map_sigma_px"]:
            require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        for name in ["learning_rate", "clip_norm"]:
            require(getattr(self, name) > 0, name, "above 0", getattr(self, name))
        check_pyramid(self.finest_stride, self.num_levels)
        require(0 <= self.dropout < 1, "dropout", "at least 0 and below 1", self.dropout)
        require(0 < self.top_fraction <= 1, "top_fraction", "above 0 and at most 1", self.top_fraction)
        require(
            self.references_per_domain >= 2,
            "references_per_domain",
            "at least 2, as one is left out of the others",
            self.references_per_domain,
        )
        require(
            self.num_synthetic_sources >= self.domains_per_step or self.num_steps == 0,
            "num_synthetic_sources",
            f"at least `domains_per_step` ({self.domains_per_step})",
            self.num_synthetic_sources,
        )

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride in px of each level, finest first."""
        return pyramid_strides(self.finest_stride, self.num_levels)
