"""What runs in a scorer's process: one resident model, behind a queue of its own."""

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from dgad.errors import UserError
from serve.engine.backend import (
    MAX_BATCH_PIXELS,
    Outcome,
    Query,
    Threshold,
    UnavailableError,
    WrongScale,
    count_pixels,
)
from serve.engine.batching import Batcher
from serve.engine.freed_memory import FreedMemory
from serve.logs import log_to_worker
from serve.replicas.metrics import ServiceMetrics
from serve.replicas.watched_thread import WatchedThread
from serve.settings import ServeSettings

if TYPE_CHECKING:
    from serve.engine.scorer import SurfaceScorer

logger = logging.getLogger(__name__)

_UNHEALTHY_AFTER = 3
"""Batches that failed one after the other by an error of ours, such as a CUDA context that is gone."""
_HUNG_AFTER_S = 60.0
"""At least: a machine that is slow is not made faster by a new process."""
_FORGET_EVERY_S = 60.0


class ScorerReplica:
    """Constructed, it is warm: Serve sends it nothing before."""

    def __init__(self, settings: ServeSettings) -> None:
        log_to_worker()
        self._metrics = ServiceMetrics()
        # One thread, since one batch at a time uses all that the machine has.
        self._thread = WatchedThread("score")
        self._settings = settings
        self._scorer = self._thread.run_and_wait(self._load, settings)
        self._batches = Batcher[Query, Outcome | WrongScale | UserError](
            self._score,
            max_size=settings.batch_size,
            wait_s=settings.batch_wait_ms / 1000,
            weigh=count_pixels,
            max_weight=MAX_BATCH_PIXELS,
        )
        self._num_failures = 0
        self._freed = FreedMemory()
        self._forgets_at = time.monotonic() + _FORGET_EVERY_S
        self._forgetting: asyncio.Future[None] | None = None

    def _load(self, settings: ServeSettings) -> "SurfaceScorer":
        import torch

        from serve.engine.scorer import warm_scorer

        torch.set_num_threads(_num_threads(settings))
        return warm_scorer(settings, self._note_state)

    def _note_state(self, source: Literal["hit", "loaded", "made"]) -> None:
        self._metrics.count_state(source)
        if source == "made":  # of all references of a domain: what an enrolment may take
            self._thread.allow(self._settings.enrolment_timeout_s)

    async def score(self, queries: Sequence[Query]) -> list[Outcome | WrongScale | UserError]:
        """One answer per query, of any domains; in one batch with what other callers have waiting."""
        return list(await self._batches.ask(queries))

    async def threshold(self, domain: str, sequence: int) -> Threshold | UserError | None:
        """Return the threshold that decides the verdicts of a domain."""
        try:
            return await self._thread.run(self._scorer.threshold, domain, sequence)
        except UserError as error:
            return error

    async def about(self) -> Mapping[str, Any]:
        """Describe the bundle that this replica scores with."""
        return dict(self._scorer.description)

    async def check_health(self) -> None:
        """Raises where Serve should replace this replica."""
        if self._num_failures >= _UNHEALTHY_AFTER:
            raise RuntimeError(f"The last {self._num_failures} batches failed.")
        if self._thread.is_stuck(max(_HUNG_AFTER_S, 2 * self._settings.request_timeout_s)):
            raise RuntimeError("The scoring thread hangs: its batch does not come to an end.")
        if time.monotonic() >= self._forgets_at:  # asked every few seconds, so no timer of our own is needed
            self._forgets_at = time.monotonic() + _FORGET_EVERY_S
            self._forgetting = asyncio.ensure_future(asyncio.to_thread(self._scorer.forget_purged))

    async def probe(self) -> str:
        """Give the id of the bundle; raises where no request would be scored in its time."""
        await self.check_health()
        if self._thread.is_stuck(self._settings.request_timeout_s):
            raise UnavailableError("The batch at hand takes longer than any request waits.")
        return str(self._scorer.description["bundle_id"])

    async def _score(self, queries: Sequence[Query]) -> Sequence[Outcome | WrongScale | UserError]:
        began = time.perf_counter()
        try:
            answers = await self._thread.run(self._score_in_time, queries)
        except Exception:
            self._num_failures += 1
            logger.exception("a batch failed")
            raise
        finally:
            self._freed.note_work(sum(query.image.nbytes for query in queries))
        self._num_failures = 0
        self._metrics.observe_batch(len(queries), time.perf_counter() - began)
        return answers

    def _score_in_time(self, queries: Sequence[Query]) -> list[Outcome | WrongScale | UserError]:
        num_pixels = sum(count_pixels(query) for query in queries)
        self._thread.allow(self._settings.scoring_timeout_s(num_pixels) - self._settings.request_timeout_s)
        return self._scorer.score(queries)


def _num_threads(settings: ServeSettings) -> int:
    """Cores for one scorer, where as many as are wanted are spread over all nodes.

    Ray would give it as many as the CPUs that it asks for: one.
    """
    import ray

    from cluster.embedded import inspect_machine

    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    num_nodes = max(1, sum(bool(node["Alive"]) for node in nodes))
    return max(1, inspect_machine().num_cpus // math.ceil(settings.replicas / num_nodes))
