"""The photographs of a request: one raw body, or a form of many."""

import re

from starlette.datastructures import Headers
from starlette.requests import Request

from serve.http.bodies.multipart import FilesParser, RawFile, boundary_of, safe_name, too_large_image
from serve.http.errors import ApiError
from serve.settings import Limits

IMAGE_TYPES = ("image/jpeg", "image/png", "image/bmp", "image/tiff")
_RAW_TYPES = frozenset(
    {
        *IMAGE_TYPES,
        "image/jpg",
        "image/pjpeg",
        "image/x-ms-bmp",
        "image/x-bmp",
        "application/octet-stream",
    }
)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


async def read_photographs(request: Request, limits: Limits) -> list[RawFile]:
    """Files in the order they were sent, at least one; refused at the first byte too many."""
    media_type = _media_type(request.headers)
    if media_type == "multipart/form-data":
        return await _read_form(request, limits)
    # Python's requests names none for plain bytes; the decoder looks at the content anyway.
    if media_type is None or media_type in _RAW_TYPES:
        return [await _read_raw(request, limits)]
    raise ApiError(
        415,
        "unsupported_media_type",
        f"Send one photograph as {', '.join(IMAGE_TYPES)} or application/octet-stream, or several as"
        " multipart/form-data (curl -F).",
    )


def idempotency_key(headers: Headers) -> str | None:
    """The request's Idempotency-Key: at most one, 1 to 255 visible ASCII characters."""
    given = headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1 or not _IDEMPOTENCY_KEY.fullmatch(given[0]):
        raise ApiError(
            422,
            "bad_idempotency_key",
            "Idempotency-Key must be given once, with 1 to 255 visible ASCII characters, such as a UUID.",
        )
    return given[0]


async def _read_raw(request: Request, limits: Limits) -> RawFile:
    name = safe_name(request.query_params.get("name", ""))
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limits.max_image_bytes:
            raise too_large_image(name, limits.max_image_bytes)
        chunks.append(chunk)
    if not size:
        raise ApiError(
            422, "image_unreadable", "The body is empty; send a photograph (curl --data-binary @photo.jpg)."
        )
    return RawFile(name=name, data=b"".join(chunks))


async def _read_form(request: Request, limits: Limits) -> list[RawFile]:
    parser = FilesParser(boundary_of(request.headers["content-type"]), limits)
    async for chunk in request.stream():
        if chunk:
            parser.feed(chunk)
    files = parser.files()
    if not files:
        raise ApiError(422, "image_unreadable", "The form holds no file; send at least one photograph.")
    return files


def _media_type(headers: Headers) -> str | None:
    given = headers.getlist("content-type")
    if len(given) > 1:
        raise ApiError(400, "bad_request", "Content-Type must be given once.")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(
            415,
            "unsupported_media_type",
            "Send the body without Content-Encoding; photographs are compressed.",
        )
    return given[0].partition(";")[0].strip().lower() if given else None
