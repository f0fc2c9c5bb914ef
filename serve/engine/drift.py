"""Drift detection per domain: whether the last scores still lie where the calibration says they should.

The rule. n calibration scores in order, and the last W scores of the domain (W = 25, 50 and 200; fewer: no
judgement). For the highest calibration score, and for those a tenth and a quarter of n down, count the
scores that lie above it; on the other side, below it. On a normal line the share of such scores is some
b ~ Beta(j, n + 1 - j) for the j-th from the end, whatever the scores' distribution: where calibration
scores are few, b may be far from j / (n + 1), and the rule knows that. Three in ten scores are granted
besides, as defects or as what few references miss. A domain is flagged where more than half of the W scores
lie beyond, and so many only with probability `_CHANCE` for Binomial(W, .3 + .7 b).

Leave-one-out scores come in pairs (two references that are each other's nearest get one score) and are of
one reference less, so that normal scores lie below all n about twice as often as they should: downwards n
counts half.

So a line with a fifth of defects is not flagged, whereas another surface, camera or light, which moves
nearly all scores, is within 15 to 50 photographs. Upwards with 3 or 4 calibration scores, downwards with 6
to 9, it takes up to 200; with fewer it is never known.
"""

# n calibration scores, W scores in a window, j a rank from one end

import dataclasses
import functools
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from serve.engine.backend import Outcome, RecentScores

NUM_KEPT = 200
_WINDOWS = (25, 50, 200)
_CHANCE = 1e-4
"""Of a flag by one look at one window and rank. Over 1000 scores of a normal line it is under 1% in all."""
_GRANTED_SHARE = 0.3

_CAUSES = {
    "higher": "the surface, the camera or the light may have changed, many parts may be defective, or the"
    " references miss what is normal today. Look at some, and enrol those that are good.",
    "lower": "photographs may be darker, blurred or of something plainer than the references, or references"
    " themselves are scored. Look at some.",
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRecord:
    """What the drift rule needs to know of one score."""

    domain: str
    version: int
    bundle_id: str
    num_calibration: int
    p_value: float | None
    """None: not calibrated, and so not watched."""

    @property
    def calibration(self) -> tuple[int, str, int]:
        """What decides the p-value besides the image."""
        return self.version, self.bundle_id, self.num_calibration


def make_records(domain: str, outcomes: Iterable[Outcome]) -> list[ScoreRecord]:
    """Make the detector's records of a backend's outcomes, which are all of one domain."""
    return [
        ScoreRecord(
            domain=domain,
            version=outcome.version,
            bundle_id=outcome.bundle_id,
            num_calibration=outcome.threshold.num_calibration,
            p_value=outcome.p_value,
        )
        for outcome in outcomes
    ]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Stream:
    """The scores of one domain under one calibration."""

    calibration: tuple[int, str, int]
    num_calibration: int
    beyond: deque[int]
    """Per score, how many calibration scores are at least as high; the oldest first."""


class DriftDetector:
    """Keeps each domain's last 200 scores and judges whether they drift from its calibration.

    Holds at most `max_domains` domains, the most recently scored ones. Thread-safe.
    """

    def __init__(self, max_domains: int = 1000) -> None:
        self._max_domains = max_domains
        self._streams: OrderedDict[str, _Stream] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, scores: Iterable[ScoreRecord]) -> None:
        """Add scores in the order they were made; another version or bundle starts the domain anew."""
        with self._lock:
            for score in scores:
                if score.p_value is None:
                    continue
                stream = self._streams.get(score.domain)
                if stream is None or stream.calibration != score.calibration:
                    stream = _Stream(
                        calibration=score.calibration,
                        num_calibration=score.num_calibration,
                        beyond=deque(maxlen=NUM_KEPT),
                    )
                    self._streams[score.domain] = stream
                stream.beyond.append(round(score.p_value * (score.num_calibration + 1)) - 1)
                self._streams.move_to_end(score.domain)
                while len(self._streams) > self._max_domains:
                    self._streams.popitem(last=False)

    def forget(self, domain: str) -> None:
        """Drop the scores of a domain, which was deleted."""
        with self._lock:
            self._streams.pop(domain, None)

    def summarise(self, domain: str) -> RecentScores:
        """Summarise how the last scores lie; an uncalibrated domain has none."""
        with self._lock:
            stream = self._streams.get(domain)
            beyond = np.array(() if stream is None else stream.beyond, dtype=np.int64)
            num_calibration = 0 if stream is None else stream.num_calibration
        reason = explain_drift(beyond, num_calibration)
        return RecentScores(num_scores=len(beyond), is_drifting=bool(reason), reason=reason)


def explain_drift(beyond: np.ndarray, num_calibration: int) -> str:
    """Explain in a sentence or two why these scores leave the calibration; empty if they do not.

    `beyond`: per score, the oldest first, how many of the `num_calibration` scores are at least as high.
    """
    for window in _WINDOWS:
        if len(beyond) < window:
            break
        last = beyond[-window:]
        for rank in _list_ranks(num_calibration):
            for side, hits, num_effective in (
                ("higher", last < rank, num_calibration),
                ("lower", last > num_calibration - rank, num_calibration // 2),
            ):
                count = int(hits.sum())
                if num_effective and count >= find_least_count(num_effective, rank, window):
                    others = f"all but {rank - 1} of" if rank > 1 else "every one of"
                    return (
                        f"{count} of the last {window} photographs score {side} than {others} the"
                        f" {num_calibration} calibration scores: {_CAUSES[side]}"
                    )
    return ""


def _list_ranks(num_calibration: int) -> tuple[int, ...]:
    n = num_calibration
    return () if n < 1 else tuple(sorted({1, max(1, (n + 1) // 10), max(1, (n + 1) // 4)}))


@functools.lru_cache(maxsize=1024)
def find_least_count(num_calibration: int, rank: int, window: int) -> int:
    """Find how many of `window` scores beyond the `rank`-th calibration score are too many.

    More than half of them in any case; `window` + 1 where even all of them would not be rare enough.
    """
    (rare,) = np.nonzero(compute_tail(num_calibration, rank, window) <= _CHANCE)
    return max(int(rare[0]), window // 2 + 1) if len(rare) else window + 1


def compute_tail(num_calibration: int, rank: int, window: int) -> NDArray[np.float64]:
    """Compute the chances, shape (W + 1,), that at least 0, ..., W scores of a normal line count as beyond.

    The count is Binomial(W, .3 + .7 b) with b ~ Beta(j, n + 1 - j). That is g granted scores, with g ~
    Binomial(W, .3), and a beta-binomial number of the other W - g, which needs no integral over b.
    """
    mass = np.zeros(window + 1)
    for granted, chance in enumerate(stats.binom.pmf(np.arange(window + 1), window, _GRANTED_SHARE)):
        others = window - granted
        beyond = stats.betabinom.pmf(np.arange(others + 1), others, rank, num_calibration + 1 - rank)
        mass[granted:] += chance * beyond
    return mass[::-1].cumsum()[::-1]
