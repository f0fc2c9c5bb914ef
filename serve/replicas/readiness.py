"""Whether the service does now what it promises: asked of its scorers and its writer, not remembered."""

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable

import grpc
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from dgad.errors import DgadError
from serve.engine.backend import Readiness

_FRESH_S = 1.0
_ANSWER_S = 1.5
_TRIES = 2
"""Of a scorer: where there are several, the second call goes to one that is not waited for yet."""

Probe = Callable[[], Awaitable[str]]
"""Asks a replica whether it works; what it answers is the id of the bundle it has."""


class ReadinessProbe:
    """Asks at most once a second, whoever asks it how often; belongs to one event loop."""

    def __init__(self, scorer: Probe, writer: Probe) -> None:
        self._scorer = scorer
        self._writer = writer
        self._asking: asyncio.Task[Readiness] | None = None
        self._began_at_s = 0.0

    async def ask(self) -> Readiness:
        """Tell whether scores and changes are answered, within three seconds or so."""
        is_old = time.monotonic() - self._began_at_s > _FRESH_S
        if self._asking is None or (self._asking.done() and is_old):
            self._began_at_s = time.monotonic()
            # Of no request's context: others wait for it too, and Serve would end it with that request.
            self._asking = asyncio.get_running_loop().create_task(
                self._probe(), context=contextvars.Context()
            )
        return await asyncio.shield(self._asking)

    async def _probe(self) -> Readiness:
        bundle_id, writes = await asyncio.gather(_answer(self._scorer, _TRIES), _answer(self._writer, 1))
        return Readiness(bundle_id=bundle_id, can_enroll=writes is not None)


async def _answer(probe: Probe, tries: int) -> str | None:
    for _ in range(tries):
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await probe()
        except (TimeoutError, DgadError, RayError, RayServeException, grpc.RpcError):
            continue
    return None
