"""`dgad-tune report` and `dgad-tune compare`: a study as one page and files, and two studies side by side."""

import dataclasses
import json
import webbrowser
from typing import TYPE_CHECKING

import click
from rich.table import Table

from dgad.command_line import PlainConsole
from tune.commands.options import bring_study, json_option, runs_option
from tune.run_folder.layout import RECORDS_FOLDER

if TYPE_CHECKING:
    from dgad.report.tables import Difference

_REPORT_EXAMPLE = """\b
Examples:
  dgad-tune report my_surfaces --open     while it runs, too
"""


@click.command("report", epilog=_REPORT_EXAMPLE)
@click.argument("name")
@click.option("--open", "opens", is_flag=True, help="Show the page in the browser.")
@runs_option
@json_option
def report_command(*, name: str, opens: bool, runs: str | None, as_json: bool) -> None:
    """Write the report of the study NAME: one page, and its tables and figures as files beside it.

    From the study's records alone, at any time: while it runs the page says how far it is.
    """
    from dgad.report.page import FILES_FOLDER, write_report  # slow, and --help needs none of it
    from tune.results.live_summary import read_current_summary

    folder = bring_study(runs, name)
    summary, note = read_current_summary(folder)
    page = write_report(folder, summary, note=note)
    files = folder / FILES_FOLDER
    if as_json:
        found = sorted(str(p) for p in files.rglob("*") if p.is_file())
        click.echo(json.dumps({"report": str(page), "note": note, "files": found}, indent=2))
    else:
        if note:
            click.echo(note)
        click.echo(f"Report: {page}")
        click.echo(f"Tables and figures: {files}")
    if opens and not webbrowser.open(page.absolute().as_uri()):
        click.echo(f"No browser was found here; open {page} yourself.", err=True)


_COMPARE_EXAMPLE = """\b
Example:
  dgad-tune compare before after
"""


@click.command("compare", epilog=_COMPARE_EXAMPLE)
@click.argument("first")
@click.argument("second")
@runs_option
@json_option
def compare_command(*, first: str, second: str, runs: str | None, as_json: bool) -> None:
    """Hold the studies FIRST and SECOND side by side: differences over the same images, with intervals."""
    from dgad.records import RecordStore  # slow, and --help needs none of it
    from dgad.report.compare import compare
    from dgad.report.tables import outer_records, read_named_records
    from tune.results.live_summary import read_current_summary

    sides = []
    for name in (first, second):
        folder = bring_study(runs, name)
        summary, note = read_current_summary(folder)
        if note:
            click.echo(f"{name}: {note}", err=as_json)
        named = read_named_records(summary, RecordStore(folder / RECORDS_FOLDER))
        sides.append((summary, outer_records(summary, named)))
    (summary_a, records_a), (summary_b, records_b) = sides
    found = compare(summary_a, records_a, summary_b, records_b, names=(first, second))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
        return
    table = Table(title="Image AUROC on surfaces held out", box=None, pad_edge=False, title_justify="left")
    for column in ("method", "targets", first, second, "difference", "95% (images)"):
        table.add_column(column, justify="left" if column == "method" else "right", no_wrap=True)
    for row in found.rows:
        _add(table, row.label, str(len(row.targets)), (row.first, row.second), row.gap)
        for target, gap in row.by_target.items():
            _add(table, f"  {target}", "", (None, None), gap)
    PlainConsole(pipe_width=200).print(table)
    for what, a, b in found.settings:
        click.echo(f"They differ in {what}: {a} | {b}")
    for name, labels in zip(found.names, found.only, strict=True):
        if labels:
            click.echo(f"Only {name} has: {', '.join(labels)}")
    if found.unpaired:
        click.echo(f"Other test images, so left out: {', '.join(found.unpaired)}")
    if found.rows and not found.same_data:
        click.echo("Their data sets differ as a whole: test images of one name were taken for the same.")
    click.echo(found.verdict.replace("`", ""))


def _add(
    table: Table, label: str, count: str, values: tuple[float | None, float | None], gap: "Difference"
) -> None:
    shown = ("" if v is None else f"{v:.3f}" for v in values)
    table.add_row(label, count, *shown, f"{gap.value:+.3f}", f"{gap.low:+.3f} to {gap.high:+.3f}")
