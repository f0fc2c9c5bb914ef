"""What the routes share: settings, the backend, the reading side of the store, threads."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from dgad.references.domain import Change, check_domain_name
from dgad.references.reader import StoreReader
from serve.decoding.bounds import CpuAllowance
from serve.decoding.pool import DecodePool
from serve.engine.backend import Backend, TimedOutError
from serve.http.bodies.multipart import RawFile
from serve.http.held_pixels import HeldPixels
from serve.http.images import Workers
from serve.http.request_context import RequestContext, context_of
from serve.http.thumbnails import Thumbnails
from serve.settings import ServeSettings

_MANY_PIXELS = 10**6
"""Of a request, from which on it is said how long they are given."""
T = TypeVar("T")


class Deadline:
    """When the answer to a request is due: later, once it is known how many pixels are to be looked at."""

    def __init__(self, settings: ServeSettings, timer: asyncio.Timeout) -> None:
        self._settings = settings
        self._timer = timer
        self._began_at = asyncio.get_running_loop().time()
        self._num_pixels = 0

    @property
    def seconds(self) -> float:
        """From the request's beginning."""
        return self._settings.scoring_timeout_s(self._num_pixels)

    def allow(self, num_pixels: int) -> None:
        """Give the request the time of so many scaled pixels, in all."""
        self._num_pixels = max(self._num_pixels, num_pixels)
        self._timer.reschedule(self._began_at + self.seconds)

    def explain(self) -> str:
        """What is said of an answer that did not come in time."""
        if self._num_pixels < _MANY_PIXELS:
            return f"The answer did not come within {round(self.seconds, 1):g} s; try again."
        return (
            f"The answer did not come within {self.seconds:.0f} s, which {self._num_pixels / 1e6:.1f}"
            " megapixels are given; try again, send fewer photographs at a time, or give the domain a smaller"
            " `scale`."
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class AppState:
    """What the routes of one application share."""

    settings: ServeSettings
    backend: Backend
    store: StoreReader
    readers: Workers
    """Threads that read the store, which wait for nothing else."""
    workers: Workers
    """Threads that draw, and make thumbnails of what is enrolled."""
    decoders: DecodePool
    """Processes that decode what is sent."""
    held: HeldPixels = dataclasses.field(default_factory=HeldPixels)
    """What they gave that is not scored and drawn yet."""
    thumbnails: Thumbnails = dataclasses.field(default_factory=Thumbnails)
    bundle: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What the bundle's folder says, read once it is asked for."""

    async def head(self, domain: str) -> Change:
        """Read the newest change of a domain; raises for a bad name or a domain that is not there."""
        check_domain_name(domain)
        return await self.readers.run(self.store.head, domain)

    def make_allowance(self, files: Sequence[RawFile], client: str) -> CpuAllowance:
        """The CPU time that the photographs of one request may take to decode."""
        return CpuAllowance([file.data for file in files], self.settings.limits.decode_cpu_s, client)

    async def describe_backend(self) -> Mapping[str, Any]:
        """Describe what scores, as `Backend.describe` says, before the request's deadline."""
        async with self.answer_deadline():
            return await self.backend.describe()

    @contextlib.asynccontextmanager
    async def answer_deadline(self) -> AsyncIterator[Deadline]:
        """Cancel what is still awaited once the answer is due, and raise `TimedOutError`.

        The one deadline of a request that changes nothing: it begins when the body has been read, and
        covers all that the backend is asked, retries included. Backends have none of their own.
        """
        deadline: Deadline | None = None
        try:
            async with asyncio.timeout(self.settings.request_timeout_s) as timer:
                deadline = Deadline(self.settings, timer)
                yield deadline
        except TimeoutError:
            assert deadline is not None
            raise TimedOutError(deadline.explain()) from None

    @contextlib.asynccontextmanager
    async def change_deadline(self) -> AsyncIterator[None]:
        """Give a request that changes something `enrolment_timeout_s`; it may rightly take minutes.

        It covers what is read of the domain afterwards. A change that missed it may still be carried out.
        """
        seconds = self.settings.enrolment_timeout_s
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise TimedOutError(
                f"The change was not acknowledged within {seconds:g} s, but may still be carried out; look at"
                " the domain, or send it again with the same Idempotency-Key."
            ) from None


async def work_while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of work for a request whose body has been read; ended where its client leaves before."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_wait_for_leaving(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _wait_for_leaving(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def state_of(request: Request) -> AppState:
    """Look up the state of the application that answers the request."""
    service: AppState = request.app.state.service
    return service


def context_in(request: Request) -> RequestContext:
    """Look up the context that the middleware began for the request."""
    return context_of(request.scope)
