"""A table's files: figures survive as they were computed, and what prints is escaped."""

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from dgad.report.exports import ReportTable, latex, markdown, write_tables

TABLE = ReportTable(
    name="results",
    title="50% of A_1 & B",
    columns=("method", "auroc", "num_images", "on_front", "error"),
    rows=(
        ("comparer:paper", 0.1 + 0.2, 3, True, None),
        ("patch_knn", 1 / 3, 12, False, 'lost, "quoted"\nand | broken'),
        ("trivial", None, None, None, ""),
    ),
)


def test_every_value_comes_back_exactly_from_csv_and_parquet(tmp_path):
    written = write_tables(tmp_path, [TABLE])
    assert [p.name for p in written] == [f"results.{e}" for e in ("csv", "parquet", "md", "tex")]
    options = pa_csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
    parsing = pa_csv.ParseOptions(newlines_in_values=True)
    read = {
        "csv": pa_csv.read_csv(tmp_path / "results.csv", parse_options=parsing, convert_options=options),
        "parquet": pq.read_table(tmp_path / "results.parquet"),
    }
    for table in read.values():
        assert table.column_names == list(TABLE.columns)
        assert [tuple(row.values()) for row in table.to_pylist()] == list(TABLE.rows)
    assert pq.read_schema(tmp_path / "results.parquet").metadata[b"title"] == b"50% of A_1 & B"


def test_markdown_is_one_table_whatever_the_cells_hold():
    title, empty, head, rule, *rows = markdown(TABLE).splitlines()
    assert (title, empty) == ("**50% of A_1 & B**", "")
    assert head == "| method | auroc | num_images | on_front | error |"
    assert rule == "| --- | ---: | ---: | ---: | --- |"
    assert rows == [
        "| comparer:paper | 0.300 | 3 | yes |  |",
        '| patch_knn | 0.333 | 12 | no | lost, "quoted" and \\| broken |',
        "| trivial |  |  |  |  |",
    ]


def test_latex_escapes_what_would_be_markup():
    text = latex(TABLE)
    assert r"\caption{50\% of A\_1 \& B}" in text
    assert r"patch\_knn & 0.333 & 12 & no & lost, " in text
    odd = ReportTable(name="x", title="", columns=("a",), rows=((r"#{$}~^\ ",),))
    row = latex(odd).split("\\midrule\n")[1].split("\n")[0]
    assert row == r"\#\{\$\}\textasciitilde{}\textasciicircum{}\textbackslash{}  \\"
    assert text.count(r" \\" + "\n") == 1 + len(TABLE.rows)


def test_digits_can_be_told_by_column():
    table = ReportTable(name="x", title="", columns=("a", "ms"), rows=((0.5, 12.34),), digits={"ms": 1})
    assert "| 0.500 | 12.3 |" in markdown(table)


def test_columns_without_a_value_and_rows_of_another_length():
    empty = ReportTable(name="x", title="", columns=("a",), rows=((None,),))
    assert empty.to_arrow().schema == pa.schema([("a", pa.string())])
    with pytest.raises(ValueError, match="every row needs 2 values"):
        ReportTable(name="x", title="", columns=("a", "b"), rows=((1,),))
