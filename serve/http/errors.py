"""Every error as one JSON shape, `{"error": {"code", "message", "request_id"}}`, and never a stack trace."""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from dgad.errors import (
    BundleError,
    ConflictError,
    DgadError,
    GoneStoreError,
    ImageError,
    MissingError,
    RecordError,
    StoreError,
    UnwritableStoreError,
    UserError,
)
from serve.engine.backend import BusyError, TimedOutError, TooLargeError, UnavailableError
from serve.http.request_context import context_of

_LOG = logging.getLogger("dgad.serve")
_MAX_MESSAGE = 2000

# The first that fits decides. Trouble of ours keeps its details (paths, hosts) in the log.
_STATUSES: tuple[tuple[type[DgadError], int, str, str | None], ...] = (
    (MissingError, 404, "not_found", None),
    (ConflictError, 409, "conflict", None),
    (ImageError, 422, "image_unreadable", None),
    (TooLargeError, 413, "too_large", None),
    (BusyError, 429, "busy", None),
    (UnavailableError, 503, "unavailable", None),
    (TimedOutError, 504, "timed_out", None),
    (RecordError, 503, "storage_unavailable", "The store cannot be reached at the moment; try again."),
    (
        BundleError,
        503,
        "unavailable",
        "The bundle cannot be used at the moment; ask whoever runs this service.",
    ),
    (
        GoneStoreError,
        503,
        "storage_unavailable",
        "The store of this service is gone: it was removed, replaced or unmounted while the service runs."
        " Nothing was written; ask whoever runs it.",
    ),
    (
        UnwritableStoreError,
        503,
        "storage_unavailable",
        "The change could not be written to the store{reason}; try again when it can.",
    ),
    (
        StoreError,
        503,
        "storage_unavailable",
        "What the store holds of this domain cannot be read; the log of the service says why.",
    ),
    (UserError, 422, "invalid_value", None),
)
_CODES = {
    400: "bad_request",
    401: "key_unknown",
    403: "refused",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}
_RETRY_AFTER_S = {429: "1", 503: "2"}


class ApiError(HTTPException):
    """An answer that ends the request, with the code and sentence that it gives."""

    def __init__(
        self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail=message, headers=headers)
        self.code = code


def _error_response(
    request_id: str, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer for one error."""
    body = {"error": {"code": code, "message": _make_printable(message), "request_id": request_id}}
    every = dict(headers or {})
    if status in _RETRY_AFTER_S:
        every.setdefault("Retry-After", _RETRY_AFTER_S[status])
    return Response(
        json.dumps(body, ensure_ascii=False).encode(), status, headers=every, media_type="application/json"
    )


def response_to_error(request_id: str, error: Exception) -> Response:
    """The answer for any exception; those that are nobody's mistake are logged with the request's id."""
    if isinstance(error, ApiError):
        return _error_response(request_id, error.status_code, error.code, error.detail, error.headers)
    if isinstance(error, RequestValidationError):
        return _error_response(request_id, 422, "invalid_value", _validation_message(error))
    if isinstance(error, HTTPException):
        code = _CODES.get(error.status_code, "bad_request")
        return _error_response(request_id, error.status_code, code, _http_message(error), error.headers)
    for kind, status, code, instead in _STATUSES:
        if isinstance(error, kind):
            if instead is not None:
                _LOG.error("%s", error, extra={"fields": {"request_id": request_id}})
                reason = error.reason if isinstance(error, UnwritableStoreError) else ""
                instead = instead.format(reason=f" ({reason})" if reason else "")
            return _error_response(request_id, status, code, instead or str(error))
    _LOG.error(
        "an unexpected error ended a request", exc_info=error, extra={"fields": {"request_id": request_id}}
    )
    return _error_response(
        request_id, 500, "internal", f"Something went wrong on our side; the log has it as {request_id}."
    )


def add_error_handlers(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Give the application these answers; what escapes them is caught by `serve.http.middleware`.

    `routes`: all that there are, to tell which methods a path takes.
    """

    async def handle(request: Request, error: Exception) -> Response:
        if isinstance(error, ClientDisconnect):
            raise error
        if isinstance(error, HTTPException) and error.status_code == 405:
            error.headers = {"Allow": ", ".join(_allowed_methods(request.scope, routes))}
        return response_to_error(context_of(request.scope).request_id, error)

    for kind in (HTTPException, RequestValidationError, DgadError):
        app.add_exception_handler(kind, handle)


def _allowed_methods(scope: Scope, routes: Sequence[BaseRoute]) -> list[str]:
    """All that the path takes; Starlette itself names those of the first route only."""
    allowed: set[str] = set()
    for route in routes:
        match, _ = route.matches(scope)
        if match is not Match.NONE:
            allowed |= getattr(route, "methods", None) or set()
    return sorted(allowed)


def _http_message(error: HTTPException) -> str:
    if error.status_code == 404:
        return "There is nothing at this path; /docs lists what there is."
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return f"This path takes {allowed or 'other methods'}; /docs lists what there is."
    return str(error.detail)


def _validation_message(error: RequestValidationError) -> str:
    """One sentence of the first few mistakes; what came is not repeated, for it may be anything."""
    told = []
    for mistake in error.errors()[:3]:
        place = ".".join(str(part) for part in _find_place(mistake))
        told.append(f"{place}: {str(mistake.get('msg', 'is not valid'))[:300]}")
    return "; ".join(told).rstrip(".") + "."


def _find_place(mistake: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(part)[:64] for part in mistake.get("loc", ()))


def _make_printable(message: str) -> str:
    """Without lone surrogates and control characters, which no JSON reader needs to meet, and bounded."""
    text = message.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else " " for c in text)[:_MAX_MESSAGE]
