"""How far studies are, printed for a reader."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from dgad.command_line import PlainConsole
from tune.monitoring.progress import format_clock
from tune.run_folder.status import StudyStatus

_PIPE_WIDTH = 200


def print_studies(found: Sequence[tuple[StudyStatus, float | None]]) -> None:
    """Print one line a study; beside each status stands its best mean image AUROC on surfaces held out."""
    table = _table("study", "state", "trials", "best mean", "started (UTC)", "wall")
    for s, mean in found:
        table.add_row(
            s.name,
            _state(s),
            f"{s.done}/{s.planned}",
            _auroc(mean),
            s.started_at[:16].replace("T", " "),
            format_clock(s.elapsed_s),
        )
    PlainConsole(pipe_width=_PIPE_WIDTH).print(table)


def print_status(found: StudyStatus, *, dashboard: str | None, again: str) -> None:
    """Print how far a study is, cell by cell; `again` are the options by which a command finds the study."""
    console = PlainConsole(pipe_width=_PIPE_WIDTH)
    for line in _head_lines(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if found.cells:
        table = _table("cell", "trials", "running", "stopped early", "failed", "best inner AUROC")
        for cell in found.cells:
            counts = (str(n) if n else "-" for n in (cell.running, cell.stopped, cell.failed))
            table.add_row(cell.name, f"{cell.done}/{cell.planned}", *counts, _auroc(cell.best))
        console.print(table)
    for line in _tail_lines(found, dashboard, again):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _head_lines(found: StudyStatus) -> Iterator[str]:
    reason = f" ({found.reason})" if found.reason else ""
    where = f" (process {found.process.pid} on {found.process.host})" if found.process else ""
    yield f"{found.name}: {found.state}{where}{reason}"
    if found.is_elsewhere:
        yield "That is another host, so whether it still runs cannot be told from here."
    left = found.search_left_s
    yield f"Elapsed {format_clock(found.elapsed_s)}" + (
        f", about {format_clock(left)} of the search to go" if left is not None else ""
    )


def _tail_lines(found: StudyStatus, dashboard: str | None, again: str) -> Iterator[str]:
    fits = found.fits
    yield f"Fits: {fits.computed} computed, {fits.shared} shared, {fits.failed} failed"
    if found.refits_planned:
        yield f"Refits and scorings on surfaces held out: {found.refits_done}/{found.refits_planned}"
    else:
        yield "Refits: none yet; selections are sealed when the search is over"
    if dashboard:
        yield f"Ray dashboard: {dashboard}"
    options = [*([again] if again else []), *(["-f"] if found.process else [])]
    yield " ".join(["Log: dgad-tune logs", found.name, *options])


def _state(found: StudyStatus) -> str:
    return f"{found.state} on {found.process.host}?" if found.is_elsewhere and found.process else found.state


def _auroc(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 or name == "state" else "right", no_wrap=True)
    return table
