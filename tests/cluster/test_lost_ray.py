"""A Ray that has died under its process is noticed by its processes, without asking it anything."""

import os
import subprocess

import psutil
import pytest

from cluster.embedded import LocalRay, LostRayError


def test_a_process_that_ended_is_told_even_while_nobody_has_asked_how() -> None:
    children = {name: subprocess.Popen(["sleep", "600"]) for name in ("gcs_server", "head")}
    running = LocalRay(
        dashboard_url=None,
        token_file="t",
        logs_folder="/logs",
        num_cpus=1,
        num_gpus=0,
        core={name: psutil.Process(child.pid) for name, child in children.items()},
    )
    try:
        running.check_alive()
        assert running.is_alive
        children["head"].kill()
        os.waitid(os.P_PID, children["head"].pid, os.WEXITED | os.WNOWAIT)  # a zombie, as a dead raylet is
        with pytest.raises(LostRayError, match=r"Ray's head \(process \d+\) has ended, .* is in /logs\."):
            running.check_alive()
        children["head"].wait()
        assert not running.is_alive
    finally:
        for child in children.values():
            child.kill()
            child.wait()
