"""What the settings of all domain-generalisation methods have in common."""

import dataclasses
from typing import Literal

from dgad.settings import require

MOMENTUM = 0.9
"""Of SGD, in all three papers."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSettings:
    """Encoder, batches and SGD. Raises `SettingsError` for a value out of range."""

    stride: Literal[16, 32] = 16
    """Of the backbone's map that is averaged to one embedding; the builtin weights reach 16."""
    normals_per_domain: int = 2
    abnormals_per_domain: int = 2
    """Queries of every source in every step, at most."""
    num_steps: int
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        for name in ["normals_per_domain", "abnormals_per_domain", "num_steps"]:
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        require(self.learning_rate > 0, "learning_rate", "above 0", self.learning_rate)
        require(self.weight_decay >= 0, "weight_decay", "at least 0", self.weight_decay)


def check_pair(references_per_domain: int, pair_hidden: int) -> None:
    """Raise `SettingsError` unless a query-reference variant has references and a hidden layer."""
    require(references_per_domain >= 1, "references_per_domain", "at least 1", references_per_domain)
    require(pair_hidden >= 1, "pair_hidden", "at least 1", pair_hidden)
