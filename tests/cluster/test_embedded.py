"""Embedded Ray: it starts guarded, ends with its command, and nothing outlives a killed driver."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from cluster.embedded import inspect_machine

DRIVER = """
import os, time
from cluster.embedded import start_embedded_ray
from dgad.user_dirs import user_cache_folder
with start_embedded_ray(num_cpus=2) as running:
    import ray

    @ray.remote(num_cpus=1)
    class Busy:
        def pid(self):
            return os.getpid()

        def work(self):
            while True:
                pass

    workers = [Busy.remote() for _ in range(2)]
    pids = ray.get([w.pid.remote() for w in workers])
    for w in workers:
        w.work.remote()
    print(running.dashboard_url, *pids, flush=True)
    assert (user_cache_folder() / "prom_metrics_service_discovery.json").is_symlink()
    WAIT
print("ended", flush=True)
"""


def _start(wait: str) -> tuple[subprocess.Popen[str], str, list[int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER.replace("WAIT", wait)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url, *pids = process.stdout.readline().split()
    return process, url, [int(p) for p in pids]


def _is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _wait_until_gone(pids: list[int], timeout_s: float) -> list[int]:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and any(map(_is_running, pids)):
        time.sleep(0.2)
    return [p for p in pids if _is_running(p)]


@pytest.mark.ray
@pytest.mark.skipif(not os.path.isdir("/proc"), reason="reads process states from /proc")
def test_the_dashboard_is_guarded_and_busy_workers_do_not_outlive_a_killed_driver() -> None:
    process, url, pids = _start("time.sleep(600)")
    try:
        assert url.startswith("http://127.0.0.1:")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{url}/api/jobs/", timeout=60)
        assert refused.value.code == 401
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert _wait_until_gone(pids, timeout_s=120) == []


@pytest.mark.ray
@pytest.mark.skipif(not os.path.isdir("/proc"), reason="reads process states from /proc")
def test_leaving_the_context_ends_ray() -> None:
    process, _, pids = _start("pass")
    assert process.wait(timeout=180) == 0
    assert _wait_until_gone(pids, timeout_s=60) == []


def test_machine_counts_what_this_process_may_use() -> None:
    found = inspect_machine()
    assert 1 <= found.num_cpus <= (os.cpu_count() or 1)
    assert found.memory_bytes > 0
