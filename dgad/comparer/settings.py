"""Everything about the comparer that a search may choose, as one typed class, and its presets.

The defaults are the preset `robust`; `PAPER` has every equation as printed (Chen et al., 2022). What
each alternative is for, and what it measured, is in docs/guide/methods.md.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

from dgad.settings import check_pyramid, pyramid_strides, require

Aggregation = Literal["max", "min", "softmin"]
Head = Literal["mlp", "distance", "mlp_difference"]
Init = Literal["difference", "random", "builtin"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ComparerSettings:
    """One configuration of the comparer. Raises `SettingsError` for a value out of range."""

    FORMER_NAMES: ClassVar[Mapping[str, str]] = {"num_reference_patches_scoring": "max_memory_patches"}

    # Features
    finest_stride: Literal[4, 8] = 4
    """Stride in px of pyramid level 0; level i has stride finest_stride * 2**i."""
    num_levels: int = 1
    """L, 1 to 4."""
    backbone_mode: Literal["frozen", "fine_tuned"] = "fine_tuned"
    width: int = 64
    """C, channels of every pyramid level after the BiFPN."""
    bifpn_layers: int = 1
    reference_norm: bool = True
    """Subtract the references' per-channel mean and divide by one scalar, before the BiFPN."""

    # Comparing
    head: Head = "mlp"
    hidden: int = 64
    """H, hidden units of the meta-comparer."""
    init: Init = "difference"
    """`builtin` starts the whole comparer (pyramid, head, attention) from the weights that ship with dgad."""
    aggregation: Aggregation = "min"
    """Over reference patches (Eq. 1 prints `max`)."""
    temperature: float = 1.0
    """Of `softmin`, in logits."""
    reference_pooling: Literal["patches", "image_mean"] = "patches"
    max_memory_patches: int = 2048
    """N_R per level at enrolment: of more reference patches so many are kept that cover the others."""
    score_pooling: Literal["max", "top_fraction"] = "top_fraction"
    """Over the query's patches (Eq. 2 and 5 print `max`)."""
    top_fraction: float = 0.01
    scored_levels: Literal["all", "finest"] = "all"
    """Eq. 5 takes all; the finest one sees the coarser ones too, through the pyramid."""
    density_correction: bool = False
    """Divide each distance by what is usual around the nearest reference patch (needs 2 references)."""
    level_calibration: bool = False
    """Standardise each level by the patch logits of left-out references (needs 2 references)."""
    map_sigma_px: float = 4.0
    """Gaussian smoothing of the pixel map; 0 is Eq. 6 as printed."""

    # Losses
    attention_width: int = 64
    """Channels of the co-attention's shared latent space."""
    attention_range: Literal["shifted_cosine", "min_max"] = "shifted_cosine"
    attention_weight: float = 0.0
    """Of Eq. 3 in the sum."""
    ranking_weight: float = 0.0
    """λ of Eq. 4."""
    anchor_weight: float = 0.0
    """Pull of every trained weight towards its initial value (sum of squares)."""
    kept_share: float = 1.0
    """Of what training changed in the weights so much is kept: they end between start and end."""

    # Training
    num_steps: int = 60
    """0 leaves the comparer as it starts: no source domain is needed."""
    num_synthetic_sources: int = 0
    """Procedural domains, drawn from the fit's seed, that are mixed into the sources."""
    domains_per_step: int = 2
    normals_per_domain: int = 2
    abnormals_per_domain: int = 2
    references_per_domain: int = 2
    num_query_patches: int = 0
    """N_Q per query image and level in training; 0 takes all."""
    num_reference_patches: int = 256
    """N_R per domain and level in training, drawn at random."""
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    clip_norm: float = 5.0
    flips: bool = True
    """Random flips in training; only where the backbone is fine-tuned, frozen features are not flipped."""

    def __post_init__(self) -> None:
        at_least_one = (
            "width hidden attention_width domains_per_step normals_per_domain abnormals_per_domain "
            "references_per_domain num_reference_patches max_memory_patches"
        )
        for name in at_least_one.split():
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ["num_steps", "num_synthetic_sources", "num_query_patches", "bifpn_layers"]:
            require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        for name in ["attention_weight", "ranking_weight", "anchor_weight", "weight_decay", "map_sigma_px"]:
            require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        for name in ["learning_rate", "clip_norm", "temperature"]:
            require(getattr(self, name) > 0, name, "above 0", getattr(self, name))
        check_pyramid(self.finest_stride, self.num_levels)
        require(
            self.hidden % 2 == 0, "hidden", "even (the difference initialisation pairs units)", self.hidden
        )
        require(
            not self.density_correction
            or (self.head, self.aggregation, self.reference_pooling) == ("distance", "min", "patches"),
            "density_correction",
            "false unless `head` is distance, `aggregation` min and `reference_pooling` patches",
            self.density_correction,
        )
        require(0 < self.kept_share <= 1, "kept_share", "above 0 and at most 1", self.kept_share)
        require(0 < self.top_fraction <= 1, "top_fraction", "above 0 and at most 1", self.top_fraction)

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride in px of each pyramid level, finest first."""
        return pyramid_strides(self.finest_stride, self.num_levels)


ROBUST = ComparerSettings()

PAPER = ComparerSettings(
    num_levels=3,
    backbone_mode="fine_tuned",
    reference_norm=False,
    init="random",
    aggregation="max",
    score_pooling="max",
    attention_weight=1.0,
    ranking_weight=1.0,
    map_sigma_px=0.0,
    learning_rate=1e-3,
)

BUILTIN = ComparerSettings(
    init="builtin",
    finest_stride=4,
    num_levels=2,
    width=192,
    scored_levels="finest",
    head="distance",
    density_correction=True,
    top_fraction=0.016,
    backbone_mode="frozen",
    num_steps=0,
)
"""The comparer that ships with dgad, used as it is. `builtin.json` beside its weights says the same."""

ADAPTED = dataclasses.replace(BUILTIN, num_steps=40, learning_rate=1e-4, anchor_weight=0.1)
"""The same, adapted to the user's sources, gently and on frozen features."""

MANY = dataclasses.replace(
    BUILTIN, num_steps=240, learning_rate=3e-4, backbone_mode="fine_tuned", kept_share=0.5
)
"""The same, learnt on ten and more sources: features too, for longer, and half of what they learn is kept."""

STRUCTURE = (
    "finest_stride",
    "num_levels",
    "scored_levels",
    "width",
    "bifpn_layers",
    "reference_norm",
    "head",
    "hidden",
    "attention_width",
    "aggregation",
)
"""What `init` builtin leaves no choice of: the shape of the weights, and what they were learnt with."""

PRESETS = {
    "robust": ROBUST,
    "paper": PAPER,
    "robust_distance": dataclasses.replace(ROBUST, head="distance"),
    "untrained": dataclasses.replace(ROBUST, num_steps=0),
    "builtin": BUILTIN,
    "adapted": ADAPTED,
    "many": MANY,
}
