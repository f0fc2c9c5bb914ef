"""What the routes share: settings, the backend, the reading side of the store, threads."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, Protocol, TypeVar

from fastapi import Request

from dgad.references.domain import Change, Version, check_domain_name
from serve.backend import Backend, TimedOutError
from serve.facts import Facts, facts_of
from serve.photographs import Workers
from serve.settings import ServeSettings
from serve.thumbnails import Thumbnails

T = TypeVar("T")


class Reader(Protocol):
    """What is asked of `dgad.references.reader.StoreReader`."""

    def domains(self) -> tuple[str, ...]:
        """Names of those that exist."""

    def head(self, domain: str) -> Change:
        """The newest change; `MissingError` if there is no such domain."""

    def log(self, domain: str) -> tuple[Change, ...]:
        """All changes, the oldest first."""

    def versions(self, domain: str) -> tuple[Version, ...]:
        """All versions, the oldest first."""

    def image(self, domain: str, reference_id: str) -> bytes:
        """The photograph as it came; `MissingError`."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One application's."""

    settings: ServeSettings
    backend: Backend
    store: Reader
    workers: Workers
    thumbnails: Thumbnails = dataclasses.field(default_factory=Thumbnails)
    births: "Births" = dataclasses.field(default_factory=lambda: Births())
    bundle: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What the bundle's folder says, read once it is asked for."""

    async def head(self, domain: str) -> Change:
        """The newest change of a domain, after its name was checked."""
        check_domain_name(domain)
        return await self.workers.run(self.store.head, domain)

    async def about(self) -> Mapping[str, Any]:
        """What scores."""
        async with self.in_time():
            return await self.backend.about()

    @contextlib.asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """`TimedOutError` for what takes longer than a request may."""
        try:
            async with asyncio.timeout(self.settings.request_timeout_s):
                yield
        except TimeoutError:
            raise TimedOutError(
                f"The answer did not come within {self.settings.request_timeout_s:g} s; try again."
            ) from None

    async def writing(self, action: Awaitable[T]) -> T:
        """The same for changes, which take longer; one that timed out may still be carried out."""
        seconds = self.settings.enrolment_timeout_s
        try:
            async with asyncio.timeout(seconds):
                return await action
        except TimeoutError:
            raise TimedOutError(
                f"The change was not acknowledged within {seconds:g} s, but may still be carried out; look at"
                " the domain, or send it again with the same Idempotency-Key."
            ) from None


class Births:
    """When each domain was made, kept until its log grows."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, str]] = {}

    def of(self, domain: str, head: Change, store: Reader) -> str:
        """Time of the first change since the domain was last deleted; reads the log where it has grown."""
        sequence, at = self._known.get(domain, (-1, ""))
        if sequence != head.sequence:
            at = head.at
            for change in reversed(store.log(domain)):
                if change.is_deleted and change.sequence < head.sequence:
                    break
                at = change.at
            self._known[domain] = (head.sequence, at)
        return at


def service_of(request: Request) -> Service:
    """That of the application which answers the request."""
    service: Service = request.app.state.service
    return service


def facts_in(request: Request) -> Facts:
    """What is known of the request."""
    return facts_of(request.scope)
