"""`trivial`: grey-value statistics against the references', the row that shows how hard the data are."""

# B queries, R references, N images, S pixels a side, F statistics

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.methods.base import Context, Enrolled, Method, Scores, Traits, check_references
from dgad.training.sources import SourceDomain


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrivialSettings:
    """Settings of `trivial`, of which there are none."""


class TrivialMethod(Method):
    """The largest z-score of a query's mean, spread, darkest, brightest and gradient grey values."""

    name: ClassVar[str] = "trivial"
    title: ClassVar[str] = "Trivial statistics"
    traits: ClassVar[Traits] = Traits(
        learns=False,
        needs_defects=False,
        min_sources=0,
        trains_at_enrolment=False,
        gives_pixels=True,
        servable=True,
    )
    settings_type: ClassVar[type[Any]] = TrivialSettings
    presets: ClassVar[Mapping[str, Any]] = {"default": TrivialSettings()}

    def __init__(self, settings: TrivialSettings, context: Context) -> None:
        super().__init__(settings, context)

    def fit(self, sources: Sequence[SourceDomain], *, seed: int) -> None:
        """Nothing to learn, nothing random."""

    def enroll(self, references: ImageSet) -> Enrolled:
        """Mean and spread of every statistic over the references, and of their grey values."""
        check_references(references)
        grey_RSS = grey(references)
        statistic_RF = statistics(grey_RSS)
        spread_F = statistic_RF.std(0, correction=0)
        tensors = {
            "mean": statistic_RF.mean(0),
            # Half a grey value: a single reference has no spread, and no statistic is known better.
            "spread": spread_F.clamp_min(0.5),
            "grey_mean": grey_RSS.mean(),
            "grey_spread": grey_RSS.std(correction=0).clamp_min(0.5),
        }
        return Enrolled(method=self.name, num_references=len(references), tensors=tensors)

    def score(self, queries: ImageSet, enrolled: Enrolled) -> Scores:
        """Largest absolute z-score of an image; a pixel's absolute z-score against all reference pixels."""
        kept = enrolled.tensors
        grey_BSS = grey(queries)
        z_BF = (statistics(grey_BSS) - kept["mean"]).abs() / kept["spread"]
        pixels = (grey_BSS - kept["grey_mean"]).abs() / kept["grey_spread"]
        return Scores(image=z_BF.amax(1), pixels=pixels.unbind(0))

    def state(self) -> dict[str, Tensor]:
        """Give the tensors a bundle keeps, of which there are none."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Do nothing: no tensor is kept."""


def grey(images: ImageSet) -> Tensor:
    """Mean of the colour channels, float32 (N, S, S) in 0 to 255."""
    return images.stack().float().mean(1)


def statistics(grey_NSS: Tensor) -> Tensor:
    """(N, 5): mean, standard deviation, darkest, brightest, mean absolute gradient; in grey values."""
    flat = grey_NSS.flatten(1)
    across = (grey_NSS.diff(dim=1).abs().mean((1, 2)) + grey_NSS.diff(dim=2).abs().mean((1, 2))) / 2
    columns = (flat.mean(1), flat.std(1, correction=0), flat.amin(1), flat.amax(1), across)
    return torch.stack(columns, dim=1)
