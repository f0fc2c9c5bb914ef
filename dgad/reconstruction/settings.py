"""Everything about the reconstruction family that a search may choose, as typed classes.

What each choice measured is in docs/guide/methods.md.
"""

import dataclasses
from typing import Literal

from dgad.settings import require


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReconstructionSettings:
    """What the three methods share; the defaults are those of `autoencoder`.

    The budget: `num_steps` is such that one enrolment takes 60 s or less on one CPU core at 128 px, however
    many references there are; every step sees `batch_size` crops. Raises `SettingsError` for a value out
    of range.
    """

    # Network
    encoder: Literal["backbone", "conv"] = "backbone"
    """`backbone`: the frozen map of the run's backbone. `conv`: strided convolutions, trained."""
    stride: Literal[4, 8, 16] = 16
    """Of the latents, in px; the builtin weights reach no coarser ones."""
    width: int = 32
    """C, channels of a latent: what a patch of stride x stride px must pass through."""

    # Training
    num_steps: int = 150
    batch_size: int = 8
    crop_px: int = 64
    """Side of the random crops that are trained on, at most the image; a multiple of 16."""
    learning_rate: float = 1e-3
    clip_norm: float = 5.0

    # Scoring
    top_fraction: float = 0.1
    """An image's score is the mean of this fraction of its largest pixel scores."""
    map_sigma_px: float = 4.0
    """Gaussian smoothing of the pixel map, before the image score is taken from it; 0 is none."""

    def __post_init__(self) -> None:
        for name in ["width", "num_steps", "batch_size"]:
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ["learning_rate", "clip_norm"]:
            require(getattr(self, name) > 0, name, "above 0", getattr(self, name))
        crop = self.crop_px
        require(crop >= 32 and crop % 16 == 0, "crop_px", "a multiple of 16, at least 32", crop)
        require(0 < self.top_fraction <= 1, "top_fraction", "above 0 and at most 1", self.top_fraction)
        require(self.map_sigma_px >= 0, "map_sigma_px", "at least 0", self.map_sigma_px)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderSettings(ReconstructionSettings):
    """Settings of `autoencoder`, which has none beyond those of every reconstruction."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MemAESettings(ReconstructionSettings):
    """One configuration of `memae`. Same budget: 60 s or less an enrolment on one CPU core at 128 px."""

    num_slots: int = 256
    """N."""
    shrinkage: float = 1.0
    """t in units of 1/N, 1 to 3 as the paper has it; 0 shrinks nothing."""
    temperature: float = 0.1
    """Of the softmax over cosine similarities; the paper's is 1."""
    entropy_weight: float = 2e-4

    def __post_init__(self) -> None:
        # A dataclass with slots is made anew, so a bare super() would look in the wrong class.
        ReconstructionSettings.__post_init__(self)
        require(self.num_slots >= 2, "num_slots", "at least 2", self.num_slots)
        require(0 <= self.shrinkage <= 3, "shrinkage", "0 to 3", self.shrinkage)
        require(self.temperature > 0, "temperature", "above 0", self.temperature)
        require(self.entropy_weight >= 0, "entropy_weight", "at least 0", self.entropy_weight)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrustMAESettings(ReconstructionSettings):
    """One configuration of `trustmae`. Same budget: 60 s or less an enrolment on one CPU core at 128 px.

    Distances between latents and slots are root mean squares over the channels, each of variance 1:
    unrelated ones are about 1.4 apart.
    """

    num_slots: int = 256
    """N."""
    num_nearest: int = 4
    """k, slots that a latent is rebuilt from."""
    temperature: float = 0.1
    """Of the softmax over negative distances."""
    trust_weight: float = 0.01
    trust_radius: float = 1.0
    """d1: a slot is pulled to latents that are nearer."""
    trust_limit: float = 1.5
    """d2: it is pushed from latents between d1 and d2, and left alone by those beyond."""
    margin_weight: float = 0.01
    margin: float = 0.1
    """By how much the second nearest slot should be farther than the nearest."""
    perceptual_weight: float = 1.0
    """Of the perceptual distance in the training loss."""
    centred: bool = True
    """Score by how far features differ more or less than on the references, not by how far they differ."""

    def __post_init__(self) -> None:
        ReconstructionSettings.__post_init__(self)
        require(self.num_slots >= 2, "num_slots", "at least 2", self.num_slots)
        require(1 <= self.num_nearest <= self.num_slots, "num_nearest", "1 to `num_slots`", self.num_nearest)
        for name in ["temperature", "trust_radius"]:
            require(getattr(self, name) > 0, name, "above 0", getattr(self, name))
        for name in ["trust_weight", "margin_weight", "margin", "perceptual_weight"]:
            require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        require(
            self.trust_limit >= self.trust_radius,
            "trust_limit",
            "at least `trust_radius`",
            self.trust_limit,
        )
