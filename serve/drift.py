"""The watch over a domain's recent scores: whether they still lie as its calibration does."""

import collections
import dataclasses
import math
from collections.abc import Iterable

from serve.backend import Recent

WINDOW = 100
"""Scores looked at; the older ones are forgotten."""
_FEWEST = 20
_TAIL = 0.25
"""Share of normal scores that lie in the upper, as in the lower, quarter of the calibration."""
_TOLERATED = 0.5
"""Share that is taken for a line that makes defects, not for one that has changed."""
_SIGNIFICANCE = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What is kept of one score."""

    domain: str
    calibration: str
    """Bundle and version that scored: others have another calibration."""
    p_value: float | None


class RecentScores:
    """The last scores of every domain, in memory."""

    def __init__(self) -> None:
        self._calibrations: dict[str, str] = {}
        self._p_values: dict[str, collections.deque[float]] = {}

    def add(self, scores: Iterable[Seen]) -> None:
        """Take them in, in the order they were made; a new calibration begins anew."""
        for seen in scores:
            if self._calibrations.get(seen.domain) != seen.calibration:
                self._calibrations[seen.domain] = seen.calibration
                self._p_values[seen.domain] = collections.deque(maxlen=WINDOW)
            if seen.p_value is not None:
                self._p_values[seen.domain].append(seen.p_value)

    def forget(self, domain: str) -> None:
        """It was deleted."""
        self._calibrations.pop(domain, None)
        self._p_values.pop(domain, None)

    def of(self, domain: str) -> Recent:
        """How the last scores lie."""
        p_values = self._p_values.get(domain, ())
        count = len(p_values)
        for name, num_there in (
            ("highest", sum(p <= _TAIL for p in p_values)),
            ("lowest", sum(p > 1 - _TAIL for p in p_values)),
        ):
            if count >= _FEWEST and binomial_tail(num_there, count, _TOLERATED) < _SIGNIFICANCE:
                reason = (
                    f"{num_there} of the last {count} scores lie among the {name} {_TAIL:.0%} of what normal"
                    " photographs get: look whether camera, light or material have changed, and enrol anew."
                )
                return Recent(num_scores=count, is_drifting=True, reason=reason)
        return Recent(num_scores=count, is_drifting=False, reason="")


def binomial_tail(count: int, trials: int, share: float) -> float:
    """Probability of at least `count` successes."""
    return sum(
        math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(count, trials + 1)
    )
