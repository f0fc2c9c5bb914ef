"""What OpenAPI says beyond the schemas: errors, keys, image bodies, ids of requests."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serve.api.schemas import ErrorAnswer
from serve.http.bodies.uploads import IMAGE_TYPES

_DESCRIPTION = """Enrol a few photographs of normal parts of a surface, then score parts against them.

`Authorization: Bearer KEY` where the service has keys; `read` keys may score, `write` keys may change.
Every answer carries `X-Request-Id`; every error is `{"error": {"code", "message", "request_id"}}`."""
_WHY = {
    400: ("bad_request", "The request cannot be read."),
    401: ("key_missing", "An API key is needed: send `Authorization: Bearer KEY`."),
    403: ("scope_too_small", "The key 'viewer' may only read; this needs a key with scope write."),
    404: ("not_found", "There is no such domain, version or reference."),
    406: ("no_heatmap", "This bundle's method does not localise, so it has no picture; ask for JSON."),
    408: ("upload_timed_out", "The next piece of the body did not come within 30 s; send it again."),
    409: ("conflict", "This contradicts what is there already."),
    413: ("too_large", "The body of this request may have 268,435,456 bytes; send less at a time."),
    415: ("unsupported_media_type", "Send a photograph as image/jpeg, image/png, image/bmp or image/tiff."),
    422: ("invalid_value", "A value is out of range, or an image cannot be decoded."),
    429: ("busy", "More is waiting than can be answered in time; try again."),
    431: ("headers_too_large", "Path and headers may have 32,768 bytes together."),
    500: ("internal", "Something went wrong on our side; the log has it by this request's id."),
    503: ("unavailable", "No scorer answers at the moment; try again."),
    504: ("timed_out", "The answer did not come in time."),
}
_EVERYWHERE = (400, 401, 403, 408, 413, 422, 429, 431, 500, 503)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: those that every route has, and these."""
    return {status: _error(status) for status in sorted({*_EVERYWHERE, *statuses})}


def image_bodies() -> dict[str, Any]:
    """`requestBody` of a route that takes one raw photograph or a form of many."""
    binary = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
    form = {
        "type": "object",
        "properties": {"files": {"type": "array", "items": binary, "minItems": 1}},
        "required": ["files"],
        "description": "Any field names; every field must be a file.",
    }
    content: dict[str, Any] = {kind: {"schema": binary} for kind in IMAGE_TYPES}
    content["application/octet-stream"] = {"schema": binary}
    content["multipart/form-data"] = {"schema": form}
    return {
        "required": True,
        "description": "One photograph as it is (JPEG, PNG, BMP or TIFF), or several as a form.",
        "content": content,
    }


def describe(app: FastAPI) -> None:
    """Give the application its OpenAPI document, made once."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title="dgad",
        version=version("dgad"),
        description=_DESCRIPTION,
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    components = document.setdefault("components", {})
    components["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key of this store; none is needed where the service listens on loopback"
            " only and the store has no key.",
        }
    }
    components["headers"] = {
        "RequestId": {
            "description": "Id of the request, in the log too; taken from the request where it sent one.",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        }
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path.startswith("/v1/"):
                operation["security"] = [{"key": []}, {}]
            for answer in operation["responses"].values():
                answer.setdefault("headers", {})["X-Request-Id"] = {"$ref": "#/components/headers/RequestId"}
    return document


def _error(status: int) -> dict[str, Any]:
    code, message = _WHY[status]
    example = {"error": {"code": code, "message": message, "request_id": "6f1c2a9be0d34c57"}}
    answer: dict[str, Any] = {
        "model": ErrorAnswer,
        "description": message,
        "content": {"application/json": {"example": example}},
    }
    if status in (429, 503):
        answer["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
    return answer
