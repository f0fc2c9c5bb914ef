"""File names that strangers send, made fit for people to read; they are never part of a path."""

import unicodedata

MAX_LENGTH = 120
FALLBACK = "photograph"


def safe_name(given: str) -> str:
    """The last part of a path without control or invisible characters, at most 120 characters long."""
    text = unicodedata.normalize("NFC", given.encode("utf-8", "replace").decode("utf-8"))
    last = text.replace("\\", "/").rsplit("/", 1)[-1]
    # C*: control, format (right-to-left overrides), surrogates, unassigned; Zl, Zp: line separators
    seen = "".join(
        c for c in last if unicodedata.category(c)[0] != "C" and unicodedata.category(c)[:2] != "Zl"
    )
    seen = " ".join(seen.split()).strip(". ")
    if len(seen) <= MAX_LENGTH:
        return seen or FALLBACK
    stem, dot, ending = seen.rpartition(".")
    if dot and len(ending) <= 10:
        return f"{stem[: MAX_LENGTH - len(ending) - 1]}.{ending}"
    return seen[:MAX_LENGTH]
