"""When something was made, and with what: the two facts that records, bundles, fits and ledgers carry."""

import datetime
import functools
import importlib.metadata
import platform


def utc_now() -> str:
    """Give the current time in UTC to the second, ISO 8601: `2026-01-31T12:00:00+00:00`."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def current_versions() -> dict[str, str]:
    """Give the installed versions of python, dgad, torch and timm, by name; imports none of them."""
    return dict(_look_up_versions())


@functools.cache  # the look-up takes longer than the rest of a record
def _look_up_versions() -> tuple[tuple[str, str], ...]:
    installed = ((name, importlib.metadata.version(name)) for name in ("dgad", "torch", "timm"))
    return ("python", platform.python_version()), *installed
