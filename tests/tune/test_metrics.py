"""Figures for Prometheus: there under their names, and the ones that the Grafana dashboard asks for."""

import io
import json
import re
import time
import urllib.request
from importlib.resources import files
from typing import Any

from rich.console import Console

from cluster.local import LocalRay
from dgad.report.summary import TrialSummary
from tune.cells import cells_of
from tune.metrics import EXPORTED, StudyMetrics
from tune.progress import FitEnd, PlainProgress, TrialEnd
from tune.study import Study
from tune.tee import Tee

CELLS = cells_of(Study(name="x", trials=3), ("a", "b", "c"), searched=["comparer"])


def _asked_for(value: Any) -> set[str]:
    """The metrics in all expressions and queries of a dashboard."""
    if isinstance(value, list):
        return {name for item in value for name in _asked_for(item)}
    if isinstance(value, dict):
        own = {
            name
            for key in ("expr", "query")
            if isinstance(value.get(key), str)
            for name in re.findall(r"\bray_\w+", value[key])
        }
        return own | {name for item in value.values() for name in _asked_for(item)}
    return set()


def _dashboard() -> Any:
    return json.loads(files("tune").joinpath("grafana/dgad.json").read_text())


def test_every_panel_asks_for_metrics_that_there_are() -> None:
    dashboard = _dashboard()
    for panel in dashboard["panels"]:
        assert _asked_for(panel), panel["title"]
    assert _asked_for(dashboard) <= EXPORTED
    unseen = EXPORTED - _asked_for(dashboard)
    assert unseen == {"ray_dgad_fit_seconds_count", "ray_dgad_fit_seconds_sum"}


def test_a_search_is_seen_on_the_metrics_port(running_ray: LocalRay) -> None:
    import ray

    shown = PlainProgress(CELLS, Console(file=io.StringIO()))
    earlier = TrialSummary(number=0, settings={}, value=0.6, inner_scores={}, status="complete", duration_s=1)
    shown.board.restore("comparer@a", (earlier,))
    progress = Tee(shown, StudyMetrics("watched", shown.board))
    progress.trial_ended("comparer@a", 1, TrialEnd(value=0.75, error="", duration_s=2.0))
    progress.trial_ended("comparer@a", 2, TrialEnd(value=0.9, error="", duration_s=1.0, stopped_after=1))
    progress.trial_ended("comparer@b", 0, TrialEnd(value=None, error="nan", duration_s=1.0))
    progress.fit_ended(FitEnd(outcome="computed", fit_s=2.0))
    progress.fit_ended(FitEnd(outcome="shared"))
    progress.fit_ended(FitEnd(outcome="shared"))
    progress.job_ended(2, 13, "a refit")

    node = ray.nodes()[0]
    text = _scrape(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics")
    assert _value(text, "ray_dgad_cell_best_inner_score", cell="comparer@a") == 0.75
    assert _value(text, "ray_dgad_cell_trials_planned", cell="comparer@b") == 3
    assert _value(text, "ray_dgad_trials_total", cell="comparer@a", status="complete") == 2
    assert _value(text, "ray_dgad_trials_total", cell="comparer@a", status="stopped") == 1
    assert _value(text, "ray_dgad_trials_total", cell="comparer@b", status="failed") == 1
    assert _value(text, "ray_dgad_fits_total", outcome="computed") == 1
    assert _value(text, "ray_dgad_fits_total", outcome="shared") == 2
    assert _value(text, "ray_dgad_fit_seconds_count") == 1
    assert _value(text, "ray_dgad_fit_seconds_bucket", le="1.0") == 0
    assert _value(text, "ray_dgad_fit_seconds_bucket", le="3.0") == 1
    assert _value(text, "ray_dgad_refits_done") == 2
    assert _value(text, "ray_dgad_refits_planned") == 13
    for name in EXPORTED:
        assert re.search(rf"^{name}\{{", text, re.MULTILINE), name


def _scrape(url: str) -> str:
    """The metrics once Ray has passed them on, which takes it about ten seconds."""
    deadline = time.monotonic() + 60
    while True:
        with urllib.request.urlopen(url, timeout=10) as answer:
            text: str = answer.read().decode()
        if 'study="watched"' in text and "ray_dgad_refits_done" in text:
            return text
        assert time.monotonic() < deadline, "no metric came through in time"
        time.sleep(0.5)


def _value(text: str, name: str, **tags: str) -> float:
    """The one series of this study with these tags."""
    wanted = [f'{key}="{value}"' for key, value in {**tags, "study": "watched"}.items()]
    found = [
        line
        for line in text.splitlines()
        if line.startswith(f"{name}{{") and all(tag in line for tag in wanted)
    ]
    assert len(found) == 1, (name, tags, found)
    return float(found[0].rpartition(" ")[2])
