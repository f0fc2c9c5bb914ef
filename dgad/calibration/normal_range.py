"""What normal looks like to a method: scores of references against the other references."""

import dataclasses

from dgad.calibration.left_out_scores import score_left_out
from dgad.domains.image_set import ImageSet
from dgad.methods.base import Method

_MAX_FOLDS = 5


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NormalRange:
    """The range of left-out references; descriptive, not a threshold with a guarantee."""

    image_high: float
    """Highest image score of a left-out reference."""
    map_low: float
    """Median pixel of the left-out references: cold."""
    map_high: float
    """As far above the median again as their 99.9th percentile lies: hot. Normal stays in the lower half."""


def measure_normal_range(method: Method, references: ImageSet) -> NormalRange | None:
    """Score each reference against those of the other folds; None with one reference, which has no others."""
    if len(references) < 2:
        return None
    left_out = score_left_out(method, references, min(len(references), _MAX_FOLDS))
    return NormalRange(image_high=max(left_out.scores), map_low=left_out.map_low, map_high=left_out.map_high)
