"""Structured logs: one JSON object a line, with the request's id wherever a request is behind it."""

import datetime
import json
import logging
from typing import IO

ACCESS = logging.getLogger("dgad.serve.access")
_MARK = "_dgad_serve_handler"


class JsonLines(logging.Formatter):
    """`at`, `level`, `logger`, `message`, and what the record carries under `fields`."""

    def format(self, record: logging.LogRecord) -> str:
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


def log_to(stream: IO[str], level: int = logging.INFO) -> logging.Handler:
    """Write what serving logs to the stream, from now on; calling it again replaces the handler."""
    logger = logging.getLogger("dgad.serve")
    for handler in list(logger.handlers):
        if getattr(handler, _MARK, False):
            logger.removeHandler(handler)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    setattr(handler, _MARK, True)
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    return handler
