"""How a search is watched: a live table on a terminal, one plain line per event in a pipe."""

import dataclasses
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dgad.names import make_printable
from dgad.report.summary import TrialSummary

if TYPE_CHECKING:  # torch comes with it, and takes longer to import than `dgad-tune status` to answer
    from tune.study.cells import Cell


@dataclasses.dataclass(slots=True)
class CellProgress:
    """What is known of a cell while it is searched."""

    planned: int
    done: int = 0
    failed: int = 0
    stopped: int = 0
    """Given up early, by the cell's rule."""
    best: float | None = None
    running: dict[int, str] = dataclasses.field(default_factory=dict)
    """Inner fold being worked on, by trial number."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrialEnd:
    """How a trial ended, and with which value."""

    value: float | None
    """Mean inner AUROC, of the folds it finished; None where it failed."""
    error: str
    """Why it failed, or nothing."""
    duration_s: float
    stopped_after: int | None = None
    """The number of inner folds it was seen on, where it was given up early."""

    @property
    def status(self) -> str:
        """`complete`, `stopped` (early) or `failed`."""
        if self.value is None:
            return "failed"
        return "complete" if self.stopped_after is None else "stopped"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FitEnd:
    """What became of a fit that a trial or a winner asked for."""

    outcome: Literal["computed", "shared", "failed"]
    """`shared`: it was there already, whoever had computed it."""
    fit_s: float | None = None
    """Seconds of a computed one."""


class Progress(Protocol):
    """What a running search tells."""

    board: "Board"

    def begin_phase(self, text: str) -> None:
        """Say that a new part of the work begins."""

    def begin_trial(self, cell: str, number: int, fold: str) -> None:
        """Show that a trial of a cell works on an inner fold."""

    def end_trial(self, cell: str, number: int, end: TrialEnd) -> None:
        """Show or count a trial that is over."""

    def end_fit(self, fit: FitEnd) -> None:
        """Count a fit that is there, or that failed."""

    def end_job(self, done: int, total: int, text: str) -> None:
        """Count one of the refits and scorings after the search."""


class Board:
    """The figures behind both displays."""

    def __init__(self, cells: "Sequence[Cell]") -> None:
        self.cells = {c.name: CellProgress(planned=c.num_trials) for c in cells if c.num_trials > 0}
        self.started = time.monotonic()
        self.ended_here = 0
        """Trials that ended since `started`; resumed ones are not among them."""

    def restore(self, cell: str, trials: Sequence[TrialSummary]) -> None:
        """What an earlier run of the study has finished."""
        progress = self.cells[cell]
        progress.done = len(trials)
        progress.failed = sum(t.status == "failed" for t in trials)
        progress.stopped = sum(t.status == "stopped" for t in trials)
        values = [t.value for t in trials if t.value is not None and t.status == "complete"]
        progress.best = max(values, default=None)

    def begin(self, cell: str, number: int, fold: str) -> None:
        """Note that a trial works on an inner fold."""
        self.cells[cell].running[number] = fold

    def end(self, cell: str, number: int, value: float | None, *, stopped: bool = False) -> None:
        """A trial is over; without a value it failed, and one that was stopped early is never the best."""
        progress = self.cells[cell]
        progress.running.pop(number, None)
        progress.done += 1
        self.ended_here += 1
        if value is None:
            progress.failed += 1
        elif stopped:
            progress.stopped += 1
        elif progress.best is None or value > progress.best:
            progress.best = value

    @property
    def num_done(self) -> int:
        """Trials of all cells, failed ones among them."""
        return sum(p.done for p in self.cells.values())

    @property
    def num_planned(self) -> int:
        """Trials that all cells together will have."""
        return sum(p.planned for p in self.cells.values())

    @property
    def elapsed_s(self) -> float:
        """Seconds since this run began."""
        return time.monotonic() - self.started

    @property
    def remaining_s(self) -> float | None:
        """At the pace of this run; None before a trial has ended."""
        if self.ended_here == 0:
            return None
        return self.elapsed_s / self.ended_here * (self.num_planned - self.num_done)


class PlainProgress:
    """One line per event, no control codes."""

    def __init__(self, cells: "Sequence[Cell]", console: Console) -> None:
        self.board = Board(cells)
        self._console = console

    def begin_phase(self, text: str) -> None:
        """Print what is said, as a line."""
        self._print(text)

    def begin_trial(self, cell: str, number: int, fold: str) -> None:
        """Print nothing: the event is not worth a line."""
        self.board.begin(cell, number, fold)

    def end_trial(self, cell: str, number: int, end: TrialEnd) -> None:
        """Cell, trial, value, best, and how far the whole search is."""
        self.board.end(cell, number, end.value, stopped=end.stopped_after is not None)
        self._print(format_trial_line(self.board, cell, number, end))

    def end_fit(self, fit: FitEnd) -> None:
        """Print nothing: the event is not worth a line."""

    def end_job(self, done: int, total: int, text: str) -> None:
        """Print what is said, as a line."""
        self._print(f"[{done}/{total}] {text}")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class LiveProgress:
    """A table of the cells, redrawn in place; finished phases scroll above it."""

    def __init__(self, cells: "Sequence[Cell]", console: Console) -> None:
        self.board = Board(cells)
        self._console = console
        self._phase = ""
        self._jobs = ""
        self._fits: Counter[str] = Counter()
        self._live = Live(self, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> "LiveProgress":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin_phase(self, text: str) -> None:
        """Print the line above the table."""
        self._console.print(text, markup=False, highlight=False)
        self._phase = text

    def begin_trial(self, cell: str, number: int, fold: str) -> None:
        """Show the trial among those that run."""
        self.board.begin(cell, number, fold)

    def end_trial(self, cell: str, number: int, end: TrialEnd) -> None:
        """A failure also gets a line above the table."""
        self.board.end(cell, number, end.value, stopped=end.stopped_after is not None)
        if end.error:
            text = f"{cell} trial {number} failed: {end.error}"
            self._console.print(text, style="red", markup=False, highlight=False)

    def end_fit(self, fit: FitEnd) -> None:
        """Show the count below the table."""
        self._fits[fit.outcome] += 1

    def end_job(self, done: int, total: int, text: str) -> None:
        """Show the count below the table."""
        self._jobs = f"{done}/{total} {text}"

    def __rich__(self) -> Group:
        """The table as it stands; asked for by rich at every refresh."""
        return Group(_make_board_table(self.board), Text(make_printable(self._footer()), style="dim"))

    def _footer(self) -> str:
        remaining = self.board.remaining_s
        parts = [f"elapsed {format_clock(self.board.elapsed_s)}"]
        if self.board.num_done < self.board.num_planned:
            parts.append(f"about {format_clock(remaining)} to go" if remaining is not None else "estimating")
        if self._fits:
            parts.append("fits: " + ", ".join(f"{n} {outcome}" for outcome, n in sorted(self._fits.items())))
        if self._jobs:
            parts.append(self._jobs)
        return " · ".join(parts)


def format_trial_line(board: Board, cell: str, number: int, end: TrialEnd) -> str:
    """Cell, trial, value, best, and how far the whole search is, the trial counted."""
    best = board.cells[cell].best
    outcome = f"inner AUROC {end.value:.3f}" if end.value is not None else f"failed: {end.error}"
    outcome += f", stopped after {end.stopped_after} fold(s)" if end.stopped_after is not None else ""
    shown = f"{best:.3f}" if best is not None else "none"
    return (
        f"[{board.num_done}/{board.num_planned}] {cell} trial {number}: {outcome}"
        f" (best {shown}, {end.duration_s:.1f} s)"
    )


def _make_board_table(board: Board) -> Table:
    """Per cell: trials, best inner AUROC, what is running."""
    table = Table(box=None, pad_edge=False)
    for name in ("cell", "trials", "best inner AUROC", "running"):
        table.add_column(name, justify="left" if name in ("cell", "running") else "right")
    for name, progress in board.cells.items():
        failed = f" ({progress.failed} failed)" if progress.failed else ""
        failed += f" ({progress.stopped} stopped early)" if progress.stopped else ""
        table.add_row(
            name,
            f"{progress.done}/{progress.planned}{failed}",
            "-" if progress.best is None else f"{progress.best:.3f}",
            ", ".join(f"#{number} on {fold}" for number, fold in sorted(progress.running.items())),
        )
    return table


def format_clock(seconds: float) -> str:
    """Format seconds as `1:05` or `2:03:04`."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
