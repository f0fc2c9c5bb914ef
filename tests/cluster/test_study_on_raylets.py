"""A study on several raylets of one machine, kept on a real S3 server, while one of them is killed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dgad.domains.demo import synthesize
from dgad.domains.pack import pack
from dgad.storage import Storage
from tests.cluster.support.ray_nodes import RayNodes, ray_nodes
from tests.s3_server import S3Server

pytestmark = pytest.mark.cluster

# At nice +15, as Ray has it, trials may get next to nothing beside other tests.
HOSTS = {"RAY_worker_niceness": "5"}
STUDY = """
space: demo
methods: comparer
trials: 2
image_size_px: 64
weights: none
normalisation: pretrained
num_references: 4
early_stopping: none
spaces: {comparer: {num_steps: 1500}}
"""
"""Trials last far longer than the ten seconds in which a worker begins: those that are there come first."""


class Desk:
    """Runs `dgad-tune` as a user of a Ray that runs already."""

    def __init__(self, nodes: RayNodes, home: Path) -> None:
        self.nodes = nodes
        self.environment = {**nodes.environment, "XDG_CACHE_HOME": str(home / "cache"), "HOME": str(home)}

    def __call__(self, *arguments: str, expect: int = 0) -> str:
        """What it prints on both outputs: a job's error comes with its log, on standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "tune.cli", *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == expect, f"{arguments}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr


def stamps(runs: Storage) -> dict[str, bytes | None]:
    """What each finished fit says of itself, the time it was written among it."""
    names = runs.child(".shared").sizes("fits", deep=True)
    return {n: runs.child(".shared").read(n) for n in names if n.endswith("fit.json")}


@pytest.mark.timeout(1800)
def test_a_study_on_an_object_store_survives_a_node_a_driver_and_goes_on_by_name(
    tmp_path: Path, s3: S3Server
) -> None:
    counts = {"num_train": 8, "num_good": 6, "num_defective": 6}
    synthesize(tmp_path / "data", seed=0, domains=("woven", "grid", "leather"), size_px=64, **counts)
    place = f"shelf/{tmp_path.name}"
    pack(str(tmp_path / "data"), s3.uri(f"{place}/data"))
    runs = s3.uri(f"{place}/runs")
    with ray_nodes(tmp_path / "ray", 3, num_cpus_each=1, environment=HOSTS) as nodes:
        desk = Desk(nodes, tmp_path)
        address = ("--address", nodes.url, "--python", sys.executable)
        (tmp_path / "study.yaml").write_text(STUDY)
        study = ("--study", str(tmp_path / "study.yaml"))
        where = ("--data", s3.uri(f"{place}/data"), "--runs", runs, "--name", "far")

        said = desk("launch", *where[:2], "--runs", "runs", "--name", "far", *address, expect=2)
        assert "--runs runs is a folder of this machine" in said
        said = desk("launch", *where[:2], "--runs", s3.uri("nowhere/runs"), "--name", "x", *address, expect=2)
        assert "nowhere/runs" in said
        assert "Traceback" not in said

        desk("launch", *where, *study, *address, "--detach")
        kept = Storage(runs)
        _wait_for(kept, 3, lambda: desk("logs", "far", *address))
        before = stamps(kept)
        nodes.kill_node(2)
        added = nodes.add_node()
        deadline = time.monotonic() + 600
        while not nodes.runs_on(added, "ResourceTrainable"):  # a node that joins is used
            assert time.monotonic() < deadline, "no trial went to the node that was added"
            time.sleep(0.5)
        _wait_for(kept, len(before) + 1, lambda: desk("logs", "far", *address))

        desk("stop", "far", *address)
        status = json.loads(desk("status", "far", "--json", *address))
        assert status["state"] == "interrupted"
        assert status["job"]["status"] == "stopped"
        stopped = stamps(kept)
        assert {n: stopped[n] for n in before} == before

        said = desk("launch", *where, *address)
        assert "Image AUROC on surfaces held out" in said
        after = stamps(kept)
        assert {n: after[n] for n in stopped} == stopped  # nothing finished was computed again
        status = json.loads(
            desk("status", "far", "--json", "--runs", runs)
        )  # from here, by the storage alone
        assert status["state"] == "finished"
        assert status["trials_done"] == status["trials_planned"] == 8
        assert [c["failed"] for c in status["cells"]] == [0] * 4
        assert "no label read early" in desk("audit", "far", "--runs", runs)
        assert kept.child("far").exists("bundle/manifest.json")
        assert kept.child("far").exists("report.html")
        assert "far" in desk("list", "--runs", runs)


def _wait_for(runs: Storage, count: int, log: Callable[[], str]) -> None:
    deadline = time.monotonic() + 600
    while len(stamps(runs)) < count:
        assert time.monotonic() < deadline, f"only {len(stamps(runs))} fits of {count}: {log()}"
        time.sleep(0.5)
