"""The coordinator of a running study: one order of entries, one holder a fit, whoever is killed."""

import dataclasses
import os
import signal
import time
from pathlib import Path

import pytest
import ray

from cluster.embedded import LocalRay
from dgad.errors import RecordError
from tests.tune.helpers import run_on
from tune.fits.coordinator import open_leases, open_ledger, start_coordinator
from tune.fits.run import Run
from tune.run_folder.ledger import Ledger


@pytest.fixture
def run(surfaces: Path, tmp_path: Path) -> Run:
    return dataclasses.replace(run_on(surfaces, tmp_path), coordinator="dgad-coordinator-x")


@ray.remote(num_cpus=0)
class Worker:
    """Another process."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def append(self, cell: str, count: int) -> None:
        """Entries of a cell."""
        ledger = open_ledger(self._run)
        for _ in range(count):
            ledger.append(cell, "fit", domains=("a",), detail={"fit": "f"})

    def hold(self, fit_id: str, path: str) -> None:
        """Say so, and never let go."""
        leases = open_leases(self._run)
        assert leases is not None
        with leases.hold(fit_id):
            Path(path).write_text("held")
            time.sleep(600)


def test_entries_of_many_workers_stand_in_one_order(running_ray: LocalRay, run: Run) -> None:
    with start_coordinator("x", run.ledger_location):
        workers = [Worker.remote(run) for _ in range(3)]
        ray.get([w.append.remote(f"m@{i}", 10) for i, w in enumerate(workers)])
        open_ledger(run).append("m@0", "seal", detail={"a": 1})
        for worker in workers:
            ray.kill(worker)
    entries = Ledger(run.ledger_location).entries()
    assert [e.sequence for e in entries] == list(range(31))
    assert [sum(e.cell == f"m@{i}" for e in entries) for i in range(3)] == [11, 10, 10]
    assert entries[-1].purpose == "seal"


def test_a_study_has_one_coordinator(running_ray: LocalRay, run: Run) -> None:
    with (
        start_coordinator("x", run.ledger_location),
        pytest.raises(RecordError, match="`x` is being run on this cluster already"),
        start_coordinator("x", run.ledger_location),
    ):
        pass
    with start_coordinator("x", run.ledger_location):  # the name is free again
        pass


def test_a_killed_holder_gives_its_fit_up_and_a_killed_coordinator_comes_back(
    running_ray: LocalRay, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "said"
    with start_coordinator("x", run.ledger_location) as name:
        holder = Worker.remote(run)
        holder.hold.remote("f", str(said))
        while not said.is_file():
            time.sleep(0.1)
        handle = ray.get_actor(name)
        assert not ray.get(handle.acquire.remote("f", "me"))

        os.kill(ray.get(handle.__ray_call__.remote(lambda actor: os.getpid())), signal.SIGKILL)
        open_ledger(run).append("m@a", "fit", domains=("b",), detail={"fit": "f"})
        time.sleep(6)  # the holder renews every five seconds
        assert not ray.get(handle.acquire.remote("f", "me"))

        ray.kill(holder)  # SIGKILL
        started = time.monotonic()
        leases = open_leases(run)
        assert leases is not None
        with leases.hold("f"):
            assert time.monotonic() - started > 5
    assert len(Ledger(run.ledger_location).entries()) == 1
