"""What a test needs, told by its markers: given by the fixtures it uses, and enforced where processes start.

`make test` runs what has none of them, `make test-all` everything; `pyproject.toml` says what each means.
"""

import functools
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HEAVY = frozenset({"ray", "cluster", "browser", "slow"})
"""Markers of what `make test` leaves to `make test-all`."""

_MARKERS_OF_FIXTURES = {
    "running_ray": "ray",
    "two_nodes": "cluster",
    "hosts": "cluster",
    "browser": "browser",
}
_NEEDED = (
    (("gcs_server", "raylet", "start_embedded_ray"), frozenset({"ray", "cluster"})),
    (("tune.cli launch", "dgad-tune launch", "serve.cli up", "dgad-serve up"), frozenset({"ray", "cluster"})),
    (("ray.scripts.scripts", "ip netns", "sshd"), frozenset({"cluster"})),
    (("chromium", "google-chrome", "playwright"), frozenset({"browser"})),
)
"""What in a command line tells which markers, any one of them."""

_ROOT = Path(__file__).parents[1]
_ALLOWED_SKIPS = _ROOT / "tests" / "allowed_skips.txt"
_running: list[pytest.Item] = []


def mark_by_fixtures(items: list[pytest.Item]) -> None:
    """Give each test the markers of the fixtures that it uses, directly or through others."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if (name := _MARKERS_OF_FIXTURES.get(fixture)) is not None:
                item.add_marker(name)


@functools.cache
def group_of(file: str) -> str:
    """The name of what pytest-xdist keeps on one worker, in order: a test file by itself, or all of a kind.

    Of clusters two cores bear one at a time; and the Ray of `running_ray` is started once so. Told by the
    text of the file, since whoever hands tests out has their names alone.
    """
    text = (_ROOT / file).read_text(encoding="utf-8")
    if re.search(r"\btwo_nodes\b|\bthree_hosts\b|\bmark\.cluster\b", text):
        return "cluster"
    return "ray" if re.search(r"\brunning_ray\b", text) else file


def missing_markers(command: str, markers: frozenset[str]) -> frozenset[str]:
    """The markers of which a test that starts the command needs one; empty where it has one of them."""
    for parts, needed in _NEEDED:
        if any(part in command for part in parts) and not needed & markers:
            return needed
    return frozenset()


def install_guard() -> None:
    """Fail every test that starts a Ray, a cluster or a browser without the marker for it."""
    sys.addaudithook(_refuse_unmarked)


def _refuse_unmarked(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "subprocess.Popen" or not _running:
        return
    command = arguments[1]
    if not isinstance(command, str | bytes):
        command = " ".join(os.fsdecode(part) for part in command)
    item = _running[-1]
    missing = missing_markers(os.fsdecode(command), frozenset(marker.name for marker in item.iter_markers()))
    if missing:
        names = " or ".join(sorted(missing))
        started = os.fsdecode(command)[:200]
        pytest.fail(f"{item.nodeid} starts `{started}`: it needs the marker {names}")


def run_guarded(item: pytest.Item) -> Iterator[None]:
    """Remember which test runs, its fixtures included, for the guard."""
    _running.append(item)
    try:
        yield
    finally:
        _running.pop()


def is_skip_allowed(reason: str) -> bool:
    """Whether a test may be skipped in CI for this reason."""
    lines = (line.strip() for line in _ALLOWED_SKIPS.read_text(encoding="utf-8").splitlines())
    return any(line in reason for line in lines if line and not line.startswith("#"))


def refuse_skip_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI (`CI=true`), turn a skip that is not on the written list into a failure."""
    if os.environ.get("CI") != "true" or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not is_skip_allowed(reason):
        report.outcome = "failed"
        report.longrepr = f"{reason}\nIn CI this must run, or its reason stand in tests/allowed_skips.txt."
