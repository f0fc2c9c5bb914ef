"""multipart/form-data as it comes in, with every limit checked on the way."""

import dataclasses
import logging
import unicodedata

from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from serve.http.errors import ApiError
from serve.settings import Limits

# It warns of every malformed body, which is the sender's doing and answered with a 4xx.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


_MAX_NAME_LENGTH = 120
_NAME_OF_NONE = "photograph"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RawFile:
    """One file as it was sent."""

    name: str
    """For people only."""
    data: bytes


class FilesParser:
    """Feed it the body; raises `ApiError` at the byte that goes beyond a limit."""

    def __init__(self, boundary: bytes, limits: Limits) -> None:
        self._limits = limits
        self._files: list[RawFile] = []
        self._has_ended = False
        self._name: str | None = None
        self._data = bytearray()
        self._field = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError:
            raise _make_malformed("the boundary is too long") from None

    def feed(self, chunk: bytes) -> None:
        """The next piece of the body."""
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise _make_malformed(str(error)) from None

    def files(self) -> list[RawFile]:
        """All files, once the whole body was fed."""
        if not self._has_ended:
            raise _make_malformed("it ends before its closing boundary")
        return self._files

    def _on_part_begin(self) -> None:
        if len(self._files) >= self._limits.max_files:
            raise ApiError(
                413,
                "too_large",
                f"One request may carry {self._limits.max_files} files; send the rest in another.",
            )
        self._headers, self._data, self._name = {}, bytearray(), None

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        name = bytes(self._field).lower()
        if name in self._headers:
            raise _make_malformed("a part repeats a header")
        self._headers[name] = bytes(self._value)
        self._field, self._value = bytearray(), bytearray()

    def _on_headers_finished(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        if kind != b"form-data" or b"name" not in options:
            raise _make_malformed("every part needs `Content-Disposition: form-data; name=...`")
        content_type = self._headers.get(b"content-type", b"").lower()
        is_file = b"filename" in options or content_type.startswith((b"image/", b"application/octet-stream"))
        if not is_file:
            field = safe_name(options[b"name"].decode("utf-8", "replace"))
            raise ApiError(
                422, "unexpected_field", f"The form may hold image files only, but `{field}` is not a file."
            )
        self._name = safe_name(options.get(b"filename", options[b"name"]).decode("utf-8", "replace"))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if len(self._data) + end - start > self._limits.max_image_bytes:
            raise too_large_image(self._name or "", self._limits.max_image_bytes)
        self._data += memoryview(data)[start:end]

    def _on_part_end(self) -> None:
        if self._name is None:
            raise _make_malformed("a part has no headers")
        self._files.append(RawFile(name=self._name, data=bytes(self._data)))
        self._data = bytearray()

    def _on_end(self) -> None:
        self._has_ended = True


def boundary_of(content_type: str) -> bytes:
    """The boundary that a multipart content type names."""
    try:
        _, options = parse_options_header(content_type)
    except (ValueError, UnicodeError):
        options = {}
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise _make_malformed("the Content-Type names no boundary")
    return boundary


def safe_name(given: str) -> str:
    """The last part of a path without control or invisible characters, at most 120 characters long.

    For people to read: what strangers send is never part of a path of ours.
    """
    text = unicodedata.normalize("NFC", given.encode("utf-8", "replace").decode("utf-8"))
    last = text.replace("\\", "/").rsplit("/", 1)[-1]
    # C*: control, format (right-to-left overrides), surrogates, unassigned; Zl, Zp: line separators
    seen = "".join(
        c for c in last if unicodedata.category(c)[0] != "C" and unicodedata.category(c)[:2] != "Zl"
    )
    seen = " ".join(seen.split()).strip(". ")
    if len(seen) <= _MAX_NAME_LENGTH:
        return seen or _NAME_OF_NONE
    stem, dot, ending = seen.rpartition(".")
    if dot and len(ending) <= 10:
        return f"{stem[: _MAX_NAME_LENGTH - len(ending) - 1]}.{ending}"
    return seen[:_MAX_NAME_LENGTH]


def too_large_image(name: str, limit: int) -> ApiError:
    """One photograph is too large."""
    return ApiError(
        413, "too_large", f"{name} has more than the {limit:,} bytes allowed; crop it or save it compressed."
    )


def _make_malformed(reason: str) -> ApiError:
    return ApiError(
        400,
        "malformed_multipart",
        f"The form cannot be read ({reason.rstrip('.')}); send multipart/form-data as curl -F does.",
    )
