"""A report's tables as files that others go on with: CSV, Parquet, Markdown and LaTeX."""

import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from dgad.files import write_atomic

Value = str | int | float | bool | None
_LATEX = {
    "\\": r"\textbackslash{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\n": " ",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReportTable:
    """One table, its values as they were computed; printing rounds them."""

    name: str
    """Of its files, without ending."""
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    digits: int | Mapping[str, int] = 3
    """Of printed floats, for all columns or by column."""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"Table {self.name}: every row needs {len(self.columns)} values.")

    def to_arrow(self) -> pa.Table:
        """The same as an Arrow table; a column without any value is text."""
        arrays = []
        for i in range(len(self.columns)):
            values = [row[i] for row in self.rows]
            if all(v is None for v in values):
                arrays.append(pa.array(values, pa.string()))
            elif any(isinstance(v, float) for v in values):
                arrays.append(pa.array([None if v is None else float(v) for v in values], pa.float64()))
            else:
                arrays.append(pa.array(values))
        return pa.table(arrays, names=list(self.columns))

    def format_value(self, column: int, value: Value) -> str:
        """A value as Markdown and LaTeX print it."""
        if value is None:
            return ""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float):
            digits = self.digits if isinstance(self.digits, int) else self.digits.get(self.columns[column], 3)
            return f"{value:.{digits}f}"
        return str(value)


def write_tables(folder: Path, tables: Iterable[ReportTable]) -> tuple[Path, ...]:
    """`NAME.{csv,parquet,md,tex}` of every table; the paths written."""
    written = []
    for table in tables:
        for ending, data in (
            ("csv", _csv_bytes(table)),
            ("parquet", _parquet_bytes(table)),
            ("md", markdown(table).encode()),
            ("tex", latex(table).encode()),
        ):
            path = folder / f"{table.name}.{ending}"
            write_atomic(path, data)
            written.append(path)
    return tuple(written)


def _csv_bytes(table: ReportTable) -> bytes:
    """With a header line; full precision."""
    sink = io.BytesIO()
    pa_csv.write_csv(table.to_arrow(), sink)
    return sink.getvalue()


def _parquet_bytes(table: ReportTable) -> bytes:
    """With the title among the file's metadata."""
    sink = io.BytesIO()
    arrow = table.to_arrow()
    pq.write_table(arrow.replace_schema_metadata({"title": table.title}), sink)
    return sink.getvalue()


def markdown(table: ReportTable) -> str:
    """A pipe table under its title; figures to the right."""
    numeric = _numeric(table)
    lines = [
        _pipes(table.columns),
        _pipes(["---:" if is_number else "---" for is_number in numeric]),
        *(_pipes([table.format_value(i, v) for i, v in enumerate(row)]) for row in table.rows),
    ]
    return f"**{table.title}**\n\n" + "\n".join(lines) + "\n"


def latex(table: ReportTable) -> str:
    """A `table` with booktabs' rules, to be read with `\\input`."""
    spec = "".join("r" if is_number else "l" for is_number in _numeric(table))
    body = "\n".join(
        " & ".join(_escaped(table.format_value(i, v)) for i, v in enumerate(row)) + r" \\"
        for row in table.rows
    )
    head = " & ".join(map(_escaped, table.columns)) + r" \\"
    return (
        "% needs \\usepackage{booktabs}\n\\begin{table}\n\\centering\n"
        f"\\caption{{{_escaped(table.title)}}}\n\\label{{tab:{table.name}}}\n"
        f"\\begin{{tabular}}{{{spec}}}\n\\toprule\n{head}\n\\midrule\n{body}\n\\bottomrule\n"
        "\\end{tabular}\n\\end{table}\n"
    )


def _numeric(table: ReportTable) -> list[bool]:
    columns = range(len(table.columns))
    return [
        any(isinstance(row[i], int | float) for row in table.rows)
        and all(row[i] is None or isinstance(row[i], int | float) for row in table.rows)
        for i in columns
    ]


def _pipes(cells: Sequence[str]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)
