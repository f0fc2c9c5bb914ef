"""Files that are an image and something else besides: whoever reads them back might take the other one."""

import struct

from dgad.errors import ImageError

_HEAD_BYTES = 4096
_EDGE_BYTES = 64 * 1024
_ZIP_END = b"PK\x05\x06"
_ZIP_END_BYTES = 22
_MARKUP = (b"<script", b"<html", b"<!doctype html", b"<body", b"<svg", b"<iframe")
_IMAGE_TYPES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)


def image_type(data: bytes) -> str:
    """The media type by the first bytes; `application/octet-stream` for anything that is no image of ours."""
    return next((kind for start, kind in _IMAGE_TYPES if data.startswith(start)), "application/octet-stream")


def check_is_only_image(data: bytes, name: str) -> None:
    """Raise `ImageError` for an image that is a zip archive, a PDF, a web page or a script as well.

    What cameras append (previews, a short film) is let through.
    """
    other = _other_type(data)
    if other is not None:
        raise ImageError(f"{name} is an image and {other} at the same time; save it again as a plain image.")


def _other_type(data: bytes) -> str | None:
    head, tail = data[:_EDGE_BYTES], data[-_EDGE_BYTES - _ZIP_END_BYTES :]
    if b"%PDF-" in data[:1024]:
        return "a PDF document"
    if _ends_as_zip(tail, len(data)):
        return "a zip archive"
    if b"<?php" in head or b"<?php" in tail:
        return "a script"
    edges = (data[:_HEAD_BYTES] + b"\0" + data[-_HEAD_BYTES:]).lower()
    if any(mark in edges for mark in _MARKUP):
        return "a web page"
    return None


def _ends_as_zip(tail: bytes, num_bytes: int) -> bool:
    """Whether the last 64 KiB hold a zip's end record that points to a directory before it."""
    at = tail.rfind(_ZIP_END)
    while at >= 0:
        if at + _ZIP_END_BYTES <= len(tail):
            disk, start_disk, _, _, size, offset = struct.unpack_from("<4H2L", tail, at + 4)
            if disk == start_disk == 0 and offset + size <= num_bytes - len(tail) + at:
                return True
        at = tail.rfind(_ZIP_END, 0, at)
    return False
