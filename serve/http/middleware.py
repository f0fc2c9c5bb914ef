"""The outermost layer, pure ASGI: who may ask, how much may be sent, and what every answer carries.

Everything is decided before the body is read, so that who has no key cannot make the service hold one.
"""

import asyncio
import functools
import time
from typing import Protocol

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.engine.backend import UnavailableError
from serve.http.bodies.bounds import BodyBounds, IncomingBody, too_large
from serve.http.errors import ApiError, response_to_error
from serve.http.loopback import check_host, check_origin, check_peer
from serve.http.request_context import RequestContext, attach_context, start_context
from serve.http.route_rules import RouteRules, RouteTable
from serve.keys import Key, KeyRing
from serve.logs import ACCESS
from serve.settings import ServeSettings

_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_SMALL_BODY_BYTES = 64 * 1024
"""Of requests that take JSON, or nothing."""

_DOMAIN_IS_THERE = frozenset({409, 413, 415, 429, 503, 504})

_EVERY_ANSWER = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_PAGE_POLICY = (
    b"default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none';"
    b" form-action 'self'; frame-ancestors 'none'"
)
_PAGE_HEADERS = (*_EVERY_ANSWER, (b"content-security-policy", _PAGE_POLICY))
_API_HEADERS = (
    *_EVERY_ANSWER,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"cache-control", b"no-store"),
)


class RequestMetrics(Protocol):
    """Where figures of answered requests go: `serve.replicas.metrics` in a service, a list in tests."""

    def count_request(
        self, *, method: str, route: str, status: int, seconds: float, domain: str | None, num_images: int
    ) -> None:
        """Count one answered request; `route` is the template of its path, `seconds` from its headers on."""


class AccessMiddleware:
    """ASGI middleware: checks keys, hosts, origins and sizes, and logs and counts every request."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: ServeSettings,
        ring: KeyRing,
        routes: RouteTable,
        metrics: RequestMetrics | None = None,
    ) -> None:
        self._app = app
        self._limits = settings.limits
        self._is_loopback = settings.is_loopback
        self._ring = ring
        self._routes = routes
        self._metrics = metrics
        self._bodies = BodyBounds(settings.limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it before any route sees it."""
        if scope["type"] == "websocket":  # no route speaks it, so none may be reached by it unchecked
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        context = start_context(headers.get("x-request-id"))
        attach_context(scope, context)
        path = _path_below_root(scope)
        answered = _wrap_send(send, context, _PAGE_HEADERS if _is_of_the_page(path) else _API_HEADERS)
        body: IncomingBody | None = None
        try:
            rules = self._routes.rules_for(scope)
            _check_framing(headers)
            await self._check(scope, headers, rules, context)
            limit = self._limits.max_body_bytes if rules.body == "images" else _MAX_SMALL_BODY_BYTES
            _check_length(headers, limit)
            context.client = _client(scope, context)
            body = self._bodies.begin(context.client, limit)
            await self._app(scope, functools.partial(body.receive, receive), answered)
        except ClientDisconnect:
            context.status = context.status or 499
        except Exception as error:
            response = response_to_error(context.request_id, error)
            if context.status is not None:  # half an answer is out: only a broken connection can say so
                raise
            await response(scope, receive, answered)
        finally:
            if body is not None:
                context.num_bytes = body.num_bytes
                body.end()
            self._record(scope, context, time.perf_counter() - started)

    async def _check(
        self, scope: Scope, headers: Headers, rules: RouteRules, context: RequestContext
    ) -> None:
        size = len(scope["path"]) + len(scope["query_string"])
        size += sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if size > self._limits.max_header_bytes:
            raise ApiError(
                431,
                "headers_too_large",
                f"Path and headers may have {self._limits.max_header_bytes:,} bytes together, but have"
                f" {size:,}; send fewer or shorter headers.",
            )
        if self._ring.is_stale:
            try:
                await asyncio.to_thread(self._ring.refresh)
            except Exception as error:
                raise UnavailableError("The API keys cannot be read at the moment; try again.") from error
        if self._is_loopback and not self._ring.is_closed:
            if not rules.any_host:
                check_peer(scope.get("client"))
                check_host(headers)
            if scope["method"] not in _READING_METHODS:
                check_origin(headers)
            return
        if rules.scope == "open":
            return
        if self._ring.is_lost:
            raise UnavailableError(
                "The store had API keys, but they are not there now, so nobody is answered: its place may not"
                " be mounted. Whoever runs this service finds out with `dgad-serve keys list`."
            )
        key = self._key(headers)
        context.author = context.key_name = key.name
        if not key.allows(rules.scope):
            raise ApiError(
                403,
                "scope_too_small",
                f"The key {key.name!r} may only read; this needs a key with scope write.",
            )

    def _key(self, headers: Headers) -> Key:
        challenge = {"WWW-Authenticate": "Bearer"}
        given = headers.getlist("authorization")
        kind, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if kind.lower() != "bearer" or not token.strip():
            raise ApiError(
                401,
                "key_missing",
                "An API key is needed: send `Authorization: Bearer KEY`.",
                headers=challenge,
            )
        key = self._ring.check(token.strip())
        if key is None:
            raise ApiError(
                401,
                "key_unknown",
                "The API key is not one of this store's, or was revoked.",
                headers=challenge,
            )
        return key

    def _record(self, scope: Scope, context: RequestContext, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "unmatched"
        status = context.status or 500
        domain = str((scope.get("path_params") or {}).get("domain", ""))[:64] or None
        if self._metrics is not None:
            self._metrics.count_request(
                method=scope["method"],
                route=route,
                status=status,
                seconds=seconds,
                # Names that there are not would make metrics without end.
                domain=domain if status < 400 or status in _DOMAIN_IS_THERE else None,
                num_images=context.num_images,
            )
        if ACCESS.isEnabledFor(20):
            fields = {
                "request_id": context.request_id,
                "method": scope["method"],
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1e3, 2),
                "key": context.key_name,
                "domain": domain,
                "num_images": context.num_images,
                "num_bytes": context.num_bytes,
            }
            ACCESS.info("request", extra={"fields": fields})


def _wrap_send(send: Send, context: RequestContext, extra: tuple[tuple[bytes, bytes], ...]) -> Send:
    """`send` that notes the status and adds the headers every answer has."""

    async def answered(message: Message) -> None:
        if message["type"] == "http.response.start":
            context.status = message["status"]
            given = list(message.get("headers", ()))
            names = {name for name, _ in given}
            given += [(name, value) for name, value in extra if name not in names]
            given.append((b"x-request-id", context.request_id.encode()))
            message = {**message, "headers": given}
        await send(message)

    return answered


def _path_below_root(scope: Scope) -> str:
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _is_of_the_page(path: str) -> bool:
    return path == "/" or path.startswith(("/static/", "/docs"))


def _check_framing(headers: Headers) -> None:
    """Refuse two lengths: a proxy may have gone by the other, and take the rest for another request."""
    if "content-length" in headers and "transfer-encoding" in headers:
        raise ApiError(
            400,
            "bad_request",
            "Content-Length and Transfer-Encoding must not both be given.",
            headers={"Connection": "close"},
        )


def _check_length(headers: Headers, limit: int) -> None:
    """Refuse a body that is announced to be too large; what is not announced is counted as it comes."""
    lengths = headers.getlist("content-length")
    if len(set(lengths)) > 1 or not all(text.isascii() and text.isdigit() for text in lengths):
        raise ApiError(400, "bad_request", "Content-Length must be one whole number of bytes.")
    if lengths and (len(lengths[0]) > 18 or int(lengths[0]) > limit):
        raise too_large(limit)


def _client(scope: Scope, context: RequestContext) -> str:
    """Who shares bounds: a key, else an address."""
    if context.key_name is not None:
        return f"key {context.key_name}"
    address = scope.get("client")
    return f"address {address[0]}" if address else "unknown"
