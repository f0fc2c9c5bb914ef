"""File names and other people's texts, where they leave the process: for a terminal, JSON, HTTP, a file."""

import os
from collections.abc import Iterable

from dgad.errors import DataError

_KEPT = frozenset("\n\t")


def make_printable(text: str) -> str:
    r"""Write what a terminal would obey, or nobody could read, by its escape, such as a line break as `\n`.

    A byte of a file name that is not UTF-8 is a lone surrogate in Python, and shown as that byte: `\xff`.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def make_lines_printable(text: str) -> str:
    """The same for a text of several lines, which stay lines; tabs stay too."""
    return "".join(c if c in _KEPT or c.isprintable() else _escape(c) for c in text)


def make_ascii(text: str) -> str:
    r"""Write all but ASCII by its escape, such as `ü` as `\xfc`, where nothing else is taken."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def check_utf8(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Raise `DataError` for a path that is not UTF-8, and so fits no JSON, table, report or request."""
    for path in paths:
        text = os.fspath(path)
        if not is_utf8(text):
            raise DataError(
                f"A name must be UTF-8 to be printed, sent or kept, but `{make_printable(text)}` is not:"
                " rename it."
            )


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can carry the text: a lone surrogate it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # as Python reads a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
