"""Thresholds from scores of normal images alone, with what can be promised of them.

With n calibration scores the smallest false-alarm rate that can be promised is 1 / (n + 1): ten photographs
support 9.1%, 19 give 5%, 99 give 1%. The promise holds for new images that come as the calibration images
did (exchangeable), on average over the draw of the calibration images.
"""

# n calibration scores

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dgad.settings import require

CalibrationScheme = Literal["leave_one_out", "split"]
"""What a user chooses."""
Scheme = Literal["split", "leave_one_out", "k_fold", "none"]
"""What was done."""
Guarantee = Literal["exact", "approximate", "none"]

_LOWEST_DEFAULT_RATE = 0.01
"""Where no rate is wanted, many calibration scores are not pushed to their floor: a threshold near the
highest of a thousand normal scores would hardly ever be passed by a defect either."""
_SLACK = 1e-9
"""A rate of 1 / (n + 1), as a float, must count as supported."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Calibration:
    """Scores of normal images that were left out, and how they came about."""

    scores: NDArray[np.float64]
    """Ascending, shape (n,); n may be 0."""
    scheme: Scheme
    guarantee: Guarantee
    num_compared: int
    """References that a query is compared with."""
    map_low: float
    """Median pixel of the left-out images: cold."""
    map_high: float
    """As far above the median again as their 99.9th percentile lies: hot. Normal stays in the lower half."""
    map_limit: float
    """Highest 99.9th-percentile pixel of a left-out image: a region must exceed it. Infinite without one."""

    def __post_init__(self) -> None:
        require(
            self.scores.ndim == 1 and bool(np.isfinite(self.scores).all()),
            "scores",
            "finite and of shape (n,)",
            self.scores.shape,
        )
        require(bool((np.diff(self.scores) >= 0).all()), "scores", "ascending", self.scores)
        require(self.num_compared >= 1, "num_compared", "at least 1", self.num_compared)

    @property
    def lowest_rate(self) -> float | None:
        """The smallest false-alarm rate that these scores support, 1 / (n + 1); None without any."""
        return lowest_rate(len(self.scores))

    def p_value(self, score: float) -> float | None:
        """(1 + calibration scores at least as high) / (n + 1), in (0, 1]; None without calibration."""
        if len(self.scores) == 0:
            return None
        num_higher = len(self.scores) - int(np.searchsorted(self.scores, score, side="left"))
        return (1 + num_higher) / (len(self.scores) + 1)

    def threshold(self, rate: float | None) -> tuple[float | None, float | None]:
        """(what a score must exceed to be abnormal, the rate that this is for).

        The k-th smallest score, k = ceil((1 - rate)(n + 1)), so that a score exceeds it exactly where its
        p-value is at most the rate. None for a rate below the floor, whatever the score: nothing is promised.
        A `rate` of None is the floor, though not below `_LOWEST_DEFAULT_RATE`, and None without scores.
        """
        floor = self.lowest_rate
        if floor is None:
            return None, rate
        wanted = max(_LOWEST_DEFAULT_RATE, floor) if rate is None else rate
        num_allowed = math.floor(wanted * (len(self.scores) + 1) + _SLACK)
        if num_allowed < 1:
            return None, wanted
        rank = max(1, len(self.scores) + 1 - num_allowed)
        return float(self.scores[rank - 1]), wanted


def lowest_rate(num_calibration: int) -> float | None:
    """The smallest false-alarm rate that so many calibration scores support; None for none."""
    return 1 / (num_calibration + 1) if num_calibration > 0 else None


def num_needed(rate: float) -> int:
    """How many calibration scores it takes to support a rate: 99 for 1%."""
    return max(1, math.ceil(1 / rate - 1 - _SLACK / rate))


def sort_scores(scores: Sequence[float]) -> NDArray[np.float64]:
    """Scores as a calibration keeps them."""
    return np.sort(np.asarray(scores, dtype=np.float64))
