"""`dgad-tune launch` whose workers and drivers are killed: no finished fit is repeated."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cluster.embedded import LocalRay
from dgad.report.summary import read_summary
from tests.tune.launches import arguments_of, fits, invoke, stamps
from tune.run_folder.ledger import Ledger, find_leaks

pytestmark = pytest.mark.ray


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="reads process states from /proc")
@pytest.mark.timeout(1200)
def test_killed_and_stopped_in_every_way_no_finished_fit_is_repeated(
    surfaces: Path, tmp_path: Path, running_ray: LocalRay
) -> None:
    runs = tmp_path / "runs"
    arguments = arguments_of(surfaces, runs, "--folds", "grid")

    # A worker is killed, and its trial goes on in another; then Ctrl-C.
    process = _start([*arguments, "--json"])
    _wait_for_fits(process, runs / "x", 1)
    worker = _workers_of(process)[0]
    os.kill(worker, signal.SIGKILL)
    _wait_for_fits(process, runs / "x", 3)
    workers = _workers_of(process)
    assert worker not in workers
    process.send_signal(signal.SIGINT)
    shown, told = process.communicate(timeout=180)
    assert shown == ""  # the object alone, and here there is none; Ray has words on a killed worker too
    assert "died; the trial is begun again" in told
    assert process.returncode == 130
    assert f"To go on: dgad-tune launch --name x --runs {runs}" in told
    assert "Traceback" not in told
    _wait_until_gone(workers)
    stopped = stamps(runs / "x")

    # The driver is killed; its workers go with it.
    process = _start(["launch", "--name", "x", "--runs", str(runs)])
    _wait_for_fits(process, runs / "x", len(fits(runs / "x")) + 2)
    workers = _workers_of(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _wait_until_gone(workers)
    killed = stamps(runs / "x")
    assert {k: killed[k] for k in stopped} == stopped
    assert not (runs / "x" / "summary.json").exists()

    # Ray Tune takes SIGUSR1 for the end of the search: nothing may be chosen among what there is by then.
    process = _start(["launch", "--name", "x", "--runs", str(runs)])
    _wait_for_fits(process, runs / "x", len(fits(runs / "x")) + 1)
    process.send_signal(signal.SIGUSR1)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 1, told
    assert "trials unfinished (SIGUSR1 does that): nothing was chosen" in told
    assert [e for e in Ledger(runs / "x" / "ledger").entries() if e.purpose == "seal"] == []

    # Ray is killed under the driver, which waits for it.
    process = _start(["launch", "--name", "x", "--runs", str(runs)])
    _wait_for_fits(process, runs / "x", len(fits(runs / "x")) + 1)
    (raylet,) = (p for p in psutil.Process(process.pid).children(recursive=True) if p.name() == "raylet")
    raylet.kill()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1, told
    assert f"Failed: Ray's raylet (process {raylet.pid}) has ended" in told
    assert f"To go on: dgad-tune launch --name x --runs {runs}" in told
    assert "Traceback" not in told

    assert invoke(arguments).exit_code == 0
    after = stamps(runs / "x")
    assert {k: after[k] for k in killed} == killed
    for cell in read_summary(runs / "x").cells:
        assert cell.error is None
        assert [t.status for t in cell.trials] == ["complete"] * len(cell.trials)
    assert find_leaks(Ledger(runs / "x" / "ledger").entries()) == ()


def _start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tune.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for_fits(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    deadline = time.monotonic() + 400
    while len(fits(folder)) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "no fit was finished in time"
        time.sleep(0.02)


def _workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The search's worker processes among the descendants of a driver."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid = int(stat.parent.name)
            parents[pid] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            names[pid] = (stat.parent / "cmdline").read_bytes().split(b"\0")[0].decode()
        except (OSError, IndexError, ValueError):
            continue
    found = []
    for pid, name in names.items():
        ancestor = pid
        while ancestor in parents and ancestor != process.pid:
            ancestor = parents[ancestor]
        if ancestor == process.pid and name.startswith("ray::") and "Trainable" in name:
            found.append(pid)
    return found


def _wait_until_gone(pids: list[int]) -> None:
    assert pids
    deadline = time.monotonic() + 120
    while any(Path(f"/proc/{p}").exists() for p in pids):
        assert time.monotonic() < deadline, "a worker outlived its driver"
        time.sleep(0.1)
