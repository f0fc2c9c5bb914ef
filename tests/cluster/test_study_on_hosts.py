"""A study sent by `dgad-tune launch --cluster` to three hosts, each of its own namespaces, and back."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from dgad.domains.demo import synthesize
from tests.cluster.support.hosts import Hosts, permitted, three_hosts

# Alone: beside other tests two cores are too busy for three hosts, whose raylets give up after 15 s.
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(permitted() is not None, reason=permitted() or ""),
    pytest.mark.alone,
]
_ROOT = Path(__file__).parents[2]
STUDY = """
space: demo
methods: comparer
trials: 10
image_size_px: 64
weights: none
normalisation: pretrained
num_references: 4
spaces: {comparer: {num_steps: 120}}
"""
"""Long enough for workers to join, and for what needs it running."""


class Laptop:
    """Runs `dgad-tune` as the user of the cluster."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        self.runs = hosts.shared / "runs"
        self.data = hosts.shared / "data"

    def __call__(self, *arguments: str, expect: int = 0, timeout_s: float = 240.0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "tune.cli", *arguments],
            env={**os.environ, **self.hosts.environment, "PYTHONPATH": str(_ROOT)},
            cwd=self.hosts.laptop_home,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == expect, f"{arguments}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        assert self.hosts.token_file.read_text().strip() not in done.stdout + done.stderr
        return done.stdout + done.stderr

    def sees_the_dashboard(self) -> None:
        """By `cluster dashboard`, which ends with Ctrl-C."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tune.cli", "cluster", "dashboard", str(self.hosts.cluster_file)],
            env={**os.environ, **self.hosts.environment, "PYTHONPATH": str(_ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        url = process.stdout.readline().split()[2]
        assert b"<title>Ray Dashboard</title>" in urllib.request.urlopen(url).read()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 0

    def stamps(self) -> dict[str, int]:
        """When each finished fit was written."""
        return {p.parent.name: p.stat().st_mtime_ns for p in self.runs.glob(".shared/fits/*/fit.json")}


def raylet(hosts: Hosts, index: int) -> int | None:
    """Process id of the raylet of a host, once it has joined."""
    for pid in hosts.pids(index):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if b"/raylet/raylet" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
                return pid
    return None


def kill_host(hosts: Hosts, index: int) -> None:
    """SIGKILL all that a host runs but ssh: Ray's processes, and on the head the study's driver."""
    for pid in hosts.pids(index):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"sshd" not in command and (b"ray" in command or b"dgad" in command):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.timeout(1500)
def test_a_study_goes_to_the_cluster_survives_a_worker_and_comes_home(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with three_hosts(tmp_path_factory.mktemp("hosts")) as hosts:
        laptop = Laptop(hosts)
        counts = {"num_train": 8, "num_good": 6, "num_defective": 6}
        synthesize(laptop.data, seed=0, domains=("woven", "grid", "leather"), size_px=64, **counts)
        cluster = ("--cluster", str(hosts.cluster_file))
        (hosts.laptop_home / "study.yaml").write_text(STUDY)
        where = ("--data", str(laptop.data), "--runs", str(laptop.runs), "--name", "far")
        launch = ("launch", "--study", "study.yaml", *where, *cluster)

        said = laptop("status", "far", *cluster, expect=2)
        assert "is not up" in said
        said = laptop(*launch, "--detach", timeout_s=300)
        assert "To watch: dgad-tune logs far -f --cluster" in said

        deadline = time.monotonic() + 300
        while len(laptop.stamps()) < 4 or (worker := raylet(hosts, 1)) is None:
            assert time.monotonic() < deadline, laptop("logs", "far", *cluster)
            time.sleep(0.5)
        os.kill(worker, signal.SIGKILL)  # as a machine that fails would end

        # The study runs for a minute or two: what needs it running comes first.
        assert "far still runs on this cluster" in laptop("down", *cluster, expect=2)
        assert "runs there already" in laptop(*launch, "--detach")
        status = json.loads(laptop("status", "far", "--json", *cluster))
        assert status["job"]["status"] == "running"

        before = laptop.stamps()
        kill_host(hosts, 0)
        assert "is not up" in laptop("status", "far", *cluster, expect=2)
        said = laptop(*launch, "--detach", timeout_s=300)  # brings the head up again and goes on by name
        assert "To watch: dgad-tune logs far -f --cluster" in said
        assert "Ray dashboard: dgad-tune cluster dashboard" in laptop("status", "far", *cluster)
        laptop.sees_the_dashboard()

        followed = laptop("logs", "far", "-f", *cluster, timeout_s=800)
        assert "Image AUROC on surfaces held out" in followed
        after = laptop.stamps()
        assert {fit: after[fit] for fit in before} == before  # what was finished was not computed again

        status = json.loads(laptop("status", "far", "--json", *cluster))
        assert status["state"] == "finished", f"{status}\n{followed}"
        assert status["job"]["status"] == "succeeded"
        assert status["trials_done"] == status["trials_planned"] == 40
        assert [c["failed"] for c in status["cells"]] == [0, 0, 0, 0]
        assert "far" in laptop("list", *cluster)
        assert "no label read early" in laptop("audit", "far", "--runs", str(laptop.runs))

        home = hosts.laptop_home / "runs"
        other = json.loads((laptop.runs / "far" / "run.json").read_text()) | {"started_at": "yesterday"}
        (home / "far").mkdir(parents=True)
        (home / "far" / "run.json").write_text(json.dumps(other))
        said = laptop("down", "far", *cluster, "--results", str(home), expect=2)
        assert "holds another study of the name `far`" in said
        assert "far: finished" in laptop("status", "far", *cluster)  # and nothing was stopped
        (home / "far" / "run.json").unlink()
        said = laptop("down", "far", *cluster, "--results", str(home), timeout_s=300)
        assert "nothing of this cluster lives any more" in said
        assert (home / "far" / "report.html").is_file()
        assert (home / "far" / "bundle" / "manifest.json").is_file()
        assert "far: finished" in laptop("status", "far")
        assert "is not up" in laptop("logs", "far", *cluster, expect=2)
