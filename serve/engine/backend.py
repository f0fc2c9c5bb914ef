"""What the HTTP layer asks of whatever stands behind it: scorers, and one writer of the stores.

The service puts Ray Serve's handles behind it (`serve.replicas.deployments`); the same application runs in
one process with `serve.engine.in_process`, which tests and benchmarks use.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from dgad.calibration.threshold import Guarantee as Guarantee
from dgad.calibration.threshold import Scheme as Scheme
from dgad.domains.region import RegionOfInterest
from dgad.errors import DgadError
from dgad.evaluation.regions import Region as Region
from dgad.references.domain import Change, Enrolment
from serve.engine.writes import DomainWrite, Enroll, Write

Verdict = Literal["normal", "abnormal", "uncalibrated"]


class BusyError(DgadError):
    """More requests are waiting than can be answered in time: 429 with Retry-After."""


class UnavailableError(DgadError):
    """No scorer answers, not even after retries: 503."""


class ScaleChangedError(UnavailableError):
    """A new bundle looks at another scale: decode the request's photographs again, and ask again."""

    def __init__(self, scale: str) -> None:
        super().__init__(
            f"A new bundle has just begun to score, which looks at the scale `{scale}`: send it again."
        )
        self.scale = scale


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WrongScale:
    """A scorer's answer to a photograph that was scaled for another bundle."""

    scale: str
    """Of the scorer's own bundle."""


class TooLargeError(DgadError):
    """More at once than the parts of a service can send each other: 413."""


class TimedOutError(DgadError):
    """The answer did not come in time: 504."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """One photograph to score, decoded and scaled."""

    domain: str
    sequence: int
    """The last change of the domain that the asker has seen: the answer must not be by an older one."""
    image: NDArray[np.uint8]
    """RGB, shape (3, h, w), at the scale below."""
    scale: str
    """As `Geometry.scale`: the domain's own or, where it has none, the bundle's."""
    key: str
    """Content id, as `ImageSet.keys` has them."""
    width_px: int
    height_px: int
    """Of the original, for the boxes of regions."""
    wants_map: bool
    region: RegionOfInterest | None = None
    """Looked at for this query instead of the domain's; None: the domain's."""
    bit_depth: int | None = None
    """That its values were read by, where they have more than 8 bits a channel."""


MAX_BATCH_PIXELS = 4 * 2**20
"""Scaled pixels that a scorer works on at once, or one photograph: what bounds its memory."""


def count_pixels(query: Query) -> int:
    """Scaled pixels of a query: what it weighs in a scorer's batch."""
    return int(query.image.shape[-2] * query.image.shape[-1])


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """The threshold that decides a verdict, and what it guarantees."""

    value: float | None
    """Scores above it are abnormal; None: uncalibrated."""
    false_alarm_rate: float | None
    """The share of normal images that it promises, or approximates, at most."""
    lowest_rate: float | None
    """The lowest share that this many calibration scores can promise: 1 / (n + 1); None without any."""
    guarantee: Guarantee
    scheme: Scheme
    num_compared: int
    """References that a query is compared with."""
    num_calibration: int
    """Normal images whose scores made the threshold."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The score, verdict and regions of one query."""

    score: float
    """Logit or distance; higher is more anomalous."""
    p_value: float | None
    """(1 + calibration scores at least as high) / (n + 1); None without calibration."""
    verdict: Verdict
    threshold: Threshold
    levels: tuple[float, ...]
    """Per pyramid level, where the method has them."""
    regions: tuple[Region, ...]
    """The highest first, at most 20."""
    heat: NDArray[np.float32] | None
    """Pixel scores (S, S), where asked for and where the method localises."""
    heat_low: float
    heat_high: float
    """The domain's scale of heatmaps: cold and hot."""
    version: int
    """Of the domain's references."""
    bundle_id: str
    num_enrolled: int
    same_as_reference: str | None = None
    """Name of the reference that is this very photograph: then the score says nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RecentScores:
    """How the last scores of a domain lie in its calibration."""

    num_scores: int
    is_drifting: bool
    reason: str
    """One sentence; empty where nothing is amiss."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Readiness:
    """What a service does at this moment."""

    bundle_id: str | None
    """Of what scores; None: nothing does."""
    can_enroll: bool
    """Whether changes of the stores are made."""


class Backend(Protocol):
    """Scores queries and changes reference stores on behalf of the HTTP layer.

    Raises `dgad.errors.UserError` for the user's mistakes, and the errors above for failures of the service.

    No deadline is kept here: the HTTP layer sets one for each request and cancels what misses it.
    """

    async def score(self, queries: Sequence[Query]) -> list[Outcome]:
        """Score queries of one request and domain; outcomes come in their order."""

    @overload
    async def write(self, change: DomainWrite) -> Change: ...
    @overload
    async def write(self, change: Enroll) -> Enrolment: ...
    async def write(self, change: Write) -> Change | Enrolment:
        """Change a store; answered only when it is durable and, for an enrolment, warm."""
        ...

    async def threshold(self, domain: str, sequence: int) -> Threshold | None:
        """Return the domain's threshold as of change `sequence` or later; None while it has no references."""

    async def recent(self, domain: str) -> RecentScores:
        """Return how the domain's last scores lie in its calibration."""

    async def describe(self) -> Mapping[str, Any]:
        """Describe what scores: `bundle_id`, `method`, `title`, `device`, and at what scale.

        That is `scale`, `tile_px`, and `image_size_px`, None unless all photographs are squashed to it.
        """

    async def check_ready(self) -> Readiness:
        """Ask those who would do it whether queries are scored and changes made, now."""
