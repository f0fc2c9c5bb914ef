"""How a service is run: one frozen settings class, validated once, carried to every replica."""

import dataclasses
from typing import Literal

from cluster.loopback import is_loopback
from dgad.settings import require

MIB = 2**20

SCORING_S_PER_MEGAPIXEL = 10.0
"""Scoring takes about one on a core of 2020; the rest is for larger networks, slower machines and others."""

KeysRule = Literal["store", "expected", "required"]
"""What a service was told of keys when it began. `store`: what the store says holds. `expected`: the store
had keys, so one that holds none by now (not mounted, say) is closed, unless it says in writing that it is
open. `required`: a key is needed whatever the store says."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a request may ask for; beyond it the answer is a 4xx."""

    max_body_bytes: int = 256 * MIB
    """Of one request."""
    max_image_bytes: int = 64 * MIB
    """Encoded, of one photograph."""
    max_pixels: int = 64 * MIB
    decode_cpu_s: float = 1.2
    """To decode the photographs of one request, beside .25 s for each MiB and 2 ms for each photograph."""
    max_files: int = 256
    """In one request."""
    max_references: int = 1000
    """Of one domain."""
    max_header_bytes: int = 32 * 1024
    max_domains: int = 10_000
    header_timeout_s: float = 15.0
    """From a request's first byte to the end of its headers, and from a connection to its first request."""
    keep_alive_s: float = 75.0
    """Longer than the usual pause of a line, and than what a load balancer allows an idle connection."""
    upload_timeout_s: float = 600.0
    """For a whole body."""
    min_upload_rate: int = 8 * 1024
    """Bytes a second below which a body may not fall for longer than `upload_grace_s`."""
    upload_grace_s: float = 20.0
    scoring_s_per_megapixel: float = SCORING_S_PER_MEGAPIXEL
    """Added to a request's `request_timeout_s` for each million pixels that are looked at for it."""
    uploads_at_once: int = 4
    """How many bodies of the largest size one ingress holds at the same time."""
    uploads_per_client: int = 2
    """How many of them one client holds: an API key, or an address where no key is needed."""
    max_connections: int = 1000
    """To one ingress that listens by itself; whoever waits longest without a request makes room."""
    max_connections_per_client: int = 500
    """From one address; a proxy in front is one address."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, float):
                require(0 < value < float("inf"), field.name, "a number of seconds above 0", value)
            else:
                require(value >= 1, field.name, "at least 1", value)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ServeSettings:
    """One service; the same on every replica."""

    bundle: str
    """Folder of the bundle."""
    store: str
    """Folder or URI of the reference stores."""
    host: str = "127.0.0.1"
    port: int = 8000
    """0: a free one."""
    listener: str = ""
    """Unix socket at which ingresses are handed the socket to listen on (`serve.replicas.listener`), on one
    machine; empty: Serve's proxies listen, on every node."""
    replicas: int = 1
    """Scorers at first and at least."""
    max_replicas: int = 1
    """Scorers under load."""
    device: str = "auto"
    batch_size: int = 16
    """Queries scored at once, of any domains."""
    batch_wait_ms: float = 0.0
    """How long a scorer that has a query waits for more; what comes while it is busy is batched anyway."""
    max_queued: int = 128
    """Images waiting for a scorer at one ingress before it answers 429."""
    request_timeout_s: float = 30.0
    """To score one request of small photographs, retries included; then 504."""
    enrolment_timeout_s: float = 600.0
    """To make a change; no score takes longer either, however many pixels it is of."""
    max_resident_domains: int = 64
    """Enrolled states that a scorer keeps in memory."""
    keys: KeysRule = "store"
    has_domain_labels: bool = False
    """Whether the metrics name domains; whoever reaches a node's metrics port reads them without a token."""
    limits: Limits = dataclasses.field(default_factory=Limits)

    def __post_init__(self) -> None:
        require(0 <= self.port <= 65535, "port", "0 to 65535", self.port)
        require(self.replicas >= 1, "replicas", "at least 1", self.replicas)
        require(self.max_replicas >= self.replicas, "max_replicas", "at least `replicas`", self.max_replicas)
        require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        require(self.batch_wait_ms >= 0, "batch_wait_ms", "at least 0", self.batch_wait_ms)
        require(self.max_queued >= 1, "max_queued", "at least 1", self.max_queued)
        require(self.request_timeout_s > 0, "request_timeout_s", "above 0", self.request_timeout_s)
        require(self.enrolment_timeout_s > 0, "enrolment_timeout_s", "above 0", self.enrolment_timeout_s)
        require(
            self.max_resident_domains >= 1, "max_resident_domains", "at least 1", self.max_resident_domains
        )

    def scoring_timeout_s(self, num_pixels: int) -> float:
        """Seconds that scoring so many scaled pixels may take, all photographs of a request together."""
        extra_s = self.limits.scoring_s_per_megapixel * num_pixels / 1e6
        return min(self.request_timeout_s + extra_s, self.max_scoring_s)

    @property
    def max_scoring_s(self) -> float:
        """Seconds that no request for scores takes longer than."""
        return max(self.request_timeout_s, self.enrolment_timeout_s)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)
