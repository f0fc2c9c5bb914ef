"""Progress: plain lines in a pipe, a table on a terminal."""

import io

from rich.console import Console

from dgad.report.summary import TrialSummary
from tune.monitoring.progress import LiveProgress, PlainProgress, TrialEnd, format_clock
from tune.study.cells import make_cells
from tune.study.settings import Study

CELLS = make_cells(Study(name="x", trials=2), ("a", "b", "c"), searched=["comparer"])


def test_in_a_pipe_each_trial_is_one_line_without_control_codes() -> None:
    stream = io.StringIO()
    progress = PlainProgress(CELLS, Console(file=stream, width=40))
    progress.begin_phase("Searching [4 cells].")
    progress.begin_trial("comparer@a", 0, "b")
    progress.end_trial("comparer@a", 0, TrialEnd(value=0.75, error="", duration_s=2.0))
    progress.end_trial("comparer@a", 1, TrialEnd(value=None, error="the loss became nan", duration_s=1.0))
    progress.end_trial("comparer@b", 0, TrialEnd(value=0.9, error="", duration_s=1.0, stopped_after=1))
    assert stream.getvalue().splitlines() == [
        "Searching [4 cells].",
        "[1/8] comparer@a trial 0: inner AUROC 0.750 (best 0.750, 2.0 s)",
        "[2/8] comparer@a trial 1: failed: the loss became nan (best 0.750, 1.0 s)",
        "[3/8] comparer@b trial 0: inner AUROC 0.900, stopped after 1 fold(s) (best none, 1.0 s)",
    ]
    assert "\x1b" not in stream.getvalue()


def test_on_a_terminal_a_table_shows_cells_bests_and_what_runs() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    with LiveProgress(CELLS, console) as progress:
        progress.end_trial("comparer@a", 0, TrialEnd(value=0.75, error="", duration_s=2.0))
        progress.begin_trial("comparer@b", 1, "c")
        shown = Console(file=io.StringIO(), width=100, record=True)
        shown.print(progress)
    text = shown.export_text()
    assert "comparer@a" in text
    assert "1/2" in text
    assert "0.750" in text
    assert "#1 on c" in text
    assert "to go" in text
    assert "\x1b" in stream.getvalue()


def test_a_resumed_search_begins_with_what_is_done_and_paces_itself_by_what_is_left() -> None:
    progress = PlainProgress(CELLS, Console(file=io.StringIO()))
    trial = TrialSummary(number=0, settings={}, value=0.9, inner_scores={}, status="complete", duration_s=1)
    progress.board.restore("comparer@a", (trial,))
    assert (progress.board.num_done, progress.board.num_planned) == (1, 8)
    assert progress.board.cells["comparer@a"].best == 0.9
    assert progress.board.remaining_s is None
    progress.board.started -= 10.0
    progress.end_trial("comparer@b", 0, TrialEnd(value=0.5, error="", duration_s=1.0))
    remaining_s = progress.board.remaining_s
    assert remaining_s is not None
    assert 59 < remaining_s < 62


def test_clock() -> None:
    assert (format_clock(65), format_clock(7384)) == ("1:05", "2:03:04")
