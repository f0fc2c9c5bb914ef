"""Figures for Prometheus: there under their names, and the ones that the Grafana dashboard asks for."""

import io
import json
import re
from importlib.resources import files
from typing import Any

from rich.console import Console

from cluster.embedded import LocalRay
from dgad.report.summary import TrialSummary
from tests.prometheus import asked_for, scraped, value_of
from tune.monitoring.progress import FitEnd, PlainProgress, TrialEnd
from tune.monitoring.prometheus import EXPORTED, StudyMetrics
from tune.monitoring.tee import Tee
from tune.study.cells import make_cells
from tune.study.settings import Study

CELLS = make_cells(Study(name="x", trials=3), ("a", "b", "grün"), searched=["comparer"])


def _dashboard() -> Any:
    return json.loads(files("tune").joinpath("grafana/dgad.json").read_text())


def test_every_panel_asks_for_metrics_that_there_are() -> None:
    dashboard = _dashboard()
    for panel in dashboard["panels"]:
        assert asked_for(panel), panel["title"]
    assert asked_for(dashboard) <= EXPORTED
    unseen = EXPORTED - asked_for(dashboard)
    assert unseen == {"ray_dgad_fit_seconds_count", "ray_dgad_fit_seconds_sum"}


def test_a_search_is_seen_on_the_metrics_port(running_ray: LocalRay) -> None:

    shown = PlainProgress(CELLS, Console(file=io.StringIO()))
    earlier = TrialSummary(number=0, settings={}, value=0.6, inner_scores={}, status="complete", duration_s=1)
    shown.board.restore("comparer@a", (earlier,))
    progress = Tee(shown, StudyMetrics("watched", shown.board))
    progress.end_trial("comparer@a", 1, TrialEnd(value=0.75, error="", duration_s=2.0))
    progress.end_trial("comparer@a", 2, TrialEnd(value=0.9, error="", duration_s=1.0, stopped_after=1))
    progress.end_trial("comparer@b", 0, TrialEnd(value=None, error="nan", duration_s=1.0))
    progress.end_fit(FitEnd(outcome="computed", fit_s=2.0))
    progress.end_fit(FitEnd(outcome="shared"))
    progress.end_fit(FitEnd(outcome="shared"))
    progress.end_job(2, 13, "a refit")

    text = scraped('study="watched"', "ray_dgad_refits_done")
    assert value_of(text, "ray_dgad_cell_best_inner_score", cell="comparer@a", study="watched") == 0.75
    assert value_of(text, "ray_dgad_cell_trials_planned", cell="comparer@b", study="watched") == 3
    assert value_of(text, "ray_dgad_trials_total", cell="comparer@a", status="complete", study="watched") == 2
    assert value_of(text, "ray_dgad_trials_total", cell="comparer@a", status="stopped", study="watched") == 1
    assert value_of(text, "ray_dgad_trials_total", cell="comparer@b", status="failed", study="watched") == 1
    assert value_of(text, "ray_dgad_fits_total", outcome="computed", study="watched") == 1
    assert value_of(text, "ray_dgad_fits_total", outcome="shared", study="watched") == 2
    assert value_of(text, "ray_dgad_fit_seconds_count", study="watched") == 1
    assert value_of(text, "ray_dgad_fit_seconds_bucket", le="1.0", study="watched") == 0
    assert value_of(text, "ray_dgad_fit_seconds_bucket", le="3.0", study="watched") == 1
    assert value_of(text, "ray_dgad_refits_done", study="watched") == 2
    assert value_of(text, "ray_dgad_refits_planned", study="watched") == 13
    for name in EXPORTED:
        assert re.search(rf"^{name}\{{", text, re.MULTILINE), name
