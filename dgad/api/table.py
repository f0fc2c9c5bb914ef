"""Tables that print themselves, show in a notebook and become a data frame."""

import abc
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dgad.errors import SettingsError

if TYPE_CHECKING:
    import pandas

_NOT_APPLICABLE = "n/a"


class Table(abc.ABC):
    """Rows of named values, one order of columns for all of them.

    A subclass says what its rows are; printing, HTML and the data frame follow from `to_dicts`.
    """

    @abc.abstractmethod
    def to_dicts(self) -> list[dict[str, Any]]:
        """One dictionary a row, with equal keys in equal order; None where a value does not apply."""

    def shown_dicts(self) -> list[dict[str, Any]]:
        """The rows as they are printed; all of `to_dicts` unless a subclass leaves something out."""
        return self.to_dicts()

    @property
    def title(self) -> str:
        """What the table shows, in one line."""
        return ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know besides, a line each."""
        return ()

    def to_pandas(self) -> "pandas.DataFrame":
        """The rows as a pandas data frame.

        Returns:
            One row a row and one column a name; what does not apply is missing.

        Raises:
            SettingsError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise SettingsError(
                "`to_pandas` needs pandas, which is not installed: `pip install pandas`, or take `to_dicts`."
            ) from None
        return pandas.DataFrame(self.to_dicts())

    def __repr__(self) -> str:
        rows = self.shown_dicts()
        names = list(rows[0]) if rows else []
        cells = [names, *([_shown(row[name]) for name in names] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        is_text = [_is_text(rows, name) for name in names]
        lines = ["  ".join(map(_padded, line, widths, is_text)).rstrip() for line in cells]
        return "\n".join(line for line in (self.title, *lines, *self.notes) if line)

    def _repr_html_(self) -> str:
        rows = self.shown_dicts()
        names = list(rows[0]) if rows else []
        is_text = {name: _is_text(rows, name) for name in names}
        head = "".join(_cell("th", name, is_text[name]) for name in names)
        body = "".join(
            f"<tr>{''.join(_cell('td', _shown(row[name]), is_text[name]) for name in names)}</tr>"
            for row in rows
        )
        caption = f"<caption>{html.escape(self.title)}</caption>" if self.title else ""
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"


def _shown(value: Any) -> str:
    """A value as a reader wants it: three decimals, and lists without brackets."""
    if value is None:
        return _NOT_APPLICABLE
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def _is_text(rows: Sequence[dict[str, Any]], name: str) -> bool:
    """Whether a column is set left: numbers stand under each other at the right."""
    return any(isinstance(row[name], str | list | tuple) for row in rows)


def _padded(text: str, width: int, is_text: bool) -> str:
    return text.ljust(width) if is_text else text.rjust(width)


def _cell(tag: str, text: str, is_text: bool) -> str:
    return f'<{tag} style="text-align:{"left" if is_text else "right"}">{html.escape(text)}</{tag}>'
