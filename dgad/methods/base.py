"""The contract that every method keeps, whatever its family.

`fit` learns from source domains, `enroll` takes the target's normal references, `score` compares
queries with them. No method ever sees a label of the target. A new method is one file and one line
in `dgad.methods.METHODS`.
"""

# N images, h_i x w_i the score map of image i

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.errors import DataError
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.training.sources import SourceDomain


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """What `score` answers: logits or distances, higher is more anomalous."""

    image: Tensor
    """float32 (N,)."""
    pixels: tuple[Tensor, ...] | None
    """float32 (h_i, w_i) of every image, on its `map_size` grid, NaN outside of its region of interest; None
    where the method does not localise."""
    levels: Tensor | None = None
    """float32 (N, L): what each pyramid level alone would answer, finest first; None where there are none."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Traits:
    """What a method needs and gives, so that search and report show "not applicable"."""

    learns: bool
    """`fit` trains (else it does nothing and needs no sources)."""
    needs_defects: bool
    """`fit` needs abnormal images in every source it is given."""
    min_sources: int
    """The fewest sources that `fit` can do with."""
    trains_at_enrolment: bool
    gives_pixels: bool
    servable: bool
    """Its enrolled state can be stored and loaded."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a method is run with; nothing in it changes a result."""

    features: FeatureSettings
    device: torch.device
    cache: FeatureCache
    compiled: bool = False
    """Score with compiled kernels where the machine has a compiler; the first call then takes seconds."""
    scoring_batch: int = 16
    """Queries that a method scores at once: what bounds its memory."""
    progress: Callable[[str, int, int, float], None] = lambda stage, step, total, loss: None
    """Called as (stage, step, total, loss)."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Enrolled:
    """A target's references as a method keeps them: named tensors, nothing else, so that it stores."""

    method: str
    num_references: int
    tensors: Mapping[str, Tensor]


class Method(abc.ABC):
    """One method with its settings. `seed` is given to `fit` and decides everything random."""

    name: ClassVar[str]
    title: ClassVar[str]
    """As tables print it."""
    takes_statistics: ClassVar[bool] = False
    """Whether the features' `normalisation` holds: it compares with references by BatchNorm of their kind."""
    traits: ClassVar[Traits]
    """At most: some settings may need less, see `traits_of`."""
    settings_type: ClassVar[type[Any]]
    presets: ClassVar[Mapping[str, Any]]
    """Named settings; the first is the default."""

    def __init__(self, settings: Any, context: Context) -> None:
        self.settings = settings
        self.context = context

    @classmethod
    def traits_of(cls, settings: Any) -> Traits:
        """What a fit with these settings needs and gives; never more than `traits`."""
        del settings
        return cls.traits

    @classmethod
    def check_features(cls, settings: Any, features: FeatureSettings) -> None:
        """Raise `UserError` where a fit with these settings cannot be had on these features."""
        del settings, features

    def check_size(self, height: int, width: int) -> None:
        """Raise `SettingsError` where images of so many scaled pixels cannot be looked at."""
        del height, width

    @abc.abstractmethod
    def fit(self, sources: Sequence[SourceDomain], *, seed: int) -> None:
        """Meta-train on the sources, with the settings given.

        Raises `DataError` for unusable sources, `TrainingError` on a loss that is not finite.
        """

    @abc.abstractmethod
    def enroll(self, references: ImageSet) -> Enrolled:
        """Embed R >= 1 normal references of the target. Raises `DataError` when there are none."""

    @abc.abstractmethod
    def score(self, queries: ImageSet, enrolled: Enrolled) -> Scores:
        """Score queries against the references; a query's score does not depend on its batch."""

    def prepare(self, queries: ImageSet, enrolled: Sequence[Enrolled] = ()) -> None:
        """Compute ahead what compares with no reference, for queries of many targets at once.

        `enrolled` has the target of every query; without it what depends on no target. Changes no score.
        What it leaves in the context's cache is found by the queries' keys, so without keys it does nothing.
        """
        del queries, enrolled

    @abc.abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Everything `fit` has learnt or drawn, by name."""

    @abc.abstractmethod
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`: afterwards `enroll` and `score` give equal answers."""


def check_references(references: ImageSet) -> None:
    """Raise `DataError` unless there is at least one reference."""
    if len(references) < 1:
        raise DataError("At least 1 reference is needed, but got 0.")
