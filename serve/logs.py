"""Structured logs: one JSON object a line, with the request's id wherever a request is behind it."""

import datetime
import json
import logging
import sys
from typing import IO

ACCESS = logging.getLogger("dgad.serve.access")
_OURS, _SERVER = ("dgad", "serve"), "uvicorn.error"
_MARK = "_dgad_serve_handler"


class _JsonLines(logging.Formatter):
    """`at`, `level`, `logger`, `message`, and what the record carries under `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record as one line of JSON."""
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, object] = {
            "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line.update(fields)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


def log_to(stream: IO[str], level: int = logging.INFO) -> None:
    """Write what this process logs to the stream, from now on; calling it again replaces the handlers."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JsonLines())
    setattr(handler, _MARK, True)
    for name, least in (*((name, level) for name in _OURS), (_SERVER, max(level, logging.WARNING))):
        logger = logging.getLogger(name)
        for before in [h for h in logger.handlers if getattr(h, _MARK, False)]:
            logger.removeHandler(before)
        logger.addHandler(handler)
        logger.setLevel(least)
        logger.propagate = False


def log_to_worker() -> None:
    """In a replica: to the file of the worker's standard error, which Ray's dashboard shows.

    Serve puts what is written to `sys.stderr` into lines of its own.
    """
    if sys.__stderr__ is not None:
        log_to(sys.__stderr__)
