"""The service's figures for Prometheus, through Ray: `ray_` and the names below, on each node's metrics port.

Every label has few values whoever asks for what: routes are templates, methods and domains beyond the first
are `other`. That port asks nobody for a token, so domains are named only where the settings say so.
"""

import sys
from collections.abc import Iterable
from typing import Any, Literal, Protocol

_REQUESTS = "dgad_serve_requests_total"
_REQUEST_SECONDS = "dgad_serve_request_seconds"
_SCORED_IMAGES = "dgad_serve_scored_images_total"
_QUEUE_IMAGES = "dgad_serve_queue_images"
_BATCH_IMAGES = "dgad_serve_batch_images"
_BATCH_SECONDS = "dgad_serve_batch_seconds"
DOMAINS = "dgad_serve_domains"
_REFERENCES = "dgad_serve_references"
_ENROLMENTS = "dgad_serve_enrolments_total"
_ENROLLED_STATES = "dgad_serve_enrolled_states_total"

_HISTOGRAMS = (_REQUEST_SECONDS, _BATCH_IMAGES, _BATCH_SECONDS)
_PLAIN = (_REQUESTS, _SCORED_IMAGES, _QUEUE_IMAGES, DOMAINS, _REFERENCES, _ENROLMENTS, _ENROLLED_STATES)
EXPORTED = frozenset(f"ray_{name}" for name in _PLAIN) | frozenset(
    f"ray_{name}_{part}" for name in _HISTOGRAMS for part in ("bucket", "count", "sum")
)
"""Every series as Prometheus has it."""

MAX_DOMAINS = 100
_OTHER, _ALL = "other", "all"
_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"})
_BOUNDARIES_S = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0, 600.0]
_BOUNDARIES_IMAGES = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]


class _Nothing:
    """Outside Ray nobody asks."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def inc(self, value: float = 1.0, tags: dict[str, str] | None = None) -> None:
        """Nothing."""

    def set(self, value: float, tags: dict[str, str] | None = None) -> None:
        """Nothing."""

    def observe(self, value: float, tags: dict[str, str] | None = None) -> None:
        """Nothing."""


class _Kinds(Protocol):
    """Where `Counter`, `Gauge` and `Histogram` come from: `ray.util.metrics`."""

    Counter: Any
    Gauge: Any
    Histogram: Any


class _NoKinds:
    Counter = Gauge = Histogram = _Nothing


class ServiceMetrics:
    """One process's figures: those of an ingress, a scorer or the writer."""

    def __init__(
        self, *, replica: str = "", has_domain_labels: bool = False, kinds: _Kinds | None = None
    ) -> None:
        """To be made where Ray runs, if it does; `replica` tells apart gauges of processes on one node."""
        kinds = kinds or _find_kinds()
        self._replica = {"replica": replica}
        self._has_domain_labels = has_domain_labels
        self._named: set[str] = set()
        self._requests = kinds.Counter(_REQUESTS, "Requests answered, by how", ("method", "route", "status"))
        self._request_s = kinds.Histogram(
            _REQUEST_SECONDS,
            "Seconds from a request's headers to the end of its answer",
            _BOUNDARIES_S,
            ("route",),
        )
        self._scored = kinds.Counter(
            _SCORED_IMAGES, "Images scored, by domain and verdict", ("domain", "verdict")
        )
        self._queue = kinds.Gauge(_QUEUE_IMAGES, "Images waiting for a scorer, by ingress", ("replica",))
        self._batch = kinds.Histogram(_BATCH_IMAGES, "Images scored at once", _BOUNDARIES_IMAGES, ())
        self._batch_s = kinds.Histogram(_BATCH_SECONDS, "Seconds of scoring a batch", _BOUNDARIES_S, ())
        self._domains = kinds.Gauge(DOMAINS, "Domains of the store", ("replica",))
        self._references = kinds.Gauge(
            _REFERENCES, "References of all domains' current versions", ("replica",)
        )
        self._enrolments = kinds.Counter(_ENROLMENTS, "Enrolments, by outcome", ("outcome",))
        self._states = kinds.Counter(
            _ENROLLED_STATES, "Enrolled states asked for by a scorer, by where they came from", ("outcome",)
        )

    def count_request(
        self, *, method: str, route: str, status: int, seconds: float, domain: str | None, num_images: int
    ) -> None:
        """One request has been answered; `route` is the template of its path."""
        known = method if method in _METHODS else _OTHER
        self._requests.inc(1, {"method": known, "route": route, "status": str(status)})
        self._request_s.observe(seconds, {"route": route})

    def count_scores(self, domain: str, verdicts: Iterable[str]) -> None:
        """Images of an existing domain have been scored."""
        shown = self._label_domain(domain)
        for verdict in verdicts:
            self._scored.inc(1, {"domain": shown, "verdict": verdict})

    def set_queue(self, num_images: int) -> None:
        """So many images wait now."""
        self._queue.set(num_images, self._replica)

    def observe_batch(self, num_images: int, seconds: float) -> None:
        """A scorer has scored a batch."""
        self._batch.observe(num_images)
        self._batch_s.observe(seconds)

    def set_store(self, *, num_domains: int, num_references: int) -> None:
        """What the store holds now."""
        self._domains.set(num_domains, self._replica)
        self._references.set(num_references, self._replica)

    def count_enrolment(self, outcome: Literal["added", "nothing_new", "repeated", "refused"]) -> None:
        """An enrolment has ended."""
        self._enrolments.inc(1, {"outcome": outcome})

    def count_state(self, outcome: Literal["hit", "loaded", "made"]) -> None:
        """A scorer had an enrolled state in memory, read it, or made it again from the photographs."""
        self._states.inc(1, {"outcome": outcome})

    def _label_domain(self, domain: str) -> str:
        """The first 100 domains by name, for each label value is a series that Prometheus keeps."""
        if not self._has_domain_labels:
            return _ALL
        if domain not in self._named:
            if len(self._named) >= MAX_DOMAINS:
                return _OTHER
            self._named.add(domain)
        return domain


def _find_kinds() -> _Kinds:
    """Ray's, where this process is part of a running Ray; it is not imported to find that out."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return _NoKinds()
    from ray.util import metrics

    return metrics
