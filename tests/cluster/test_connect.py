"""Processes that join a running Ray: its nodes, one answer or error of each, and why they cannot join."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cluster.connect import connect_to_ray
from dgad.errors import ClusterError, SettingsError, UnreachableError
from tests.cluster.support.ray_nodes import RayNodes

DRIVER = """
import dataclasses, json, os, signal, sys, time
from dgad.command_line import reserve_stdout
from cluster.connect import connect_to_ray, list_live_nodes, call_on_every_node

def where():
    import ray
    return [ray.util.get_node_ip_address(), ray.get_runtime_context().namespace]

def broken(path):
    return open(path).read()

def slow_on_head():
    import ray, time
    time.sleep(60 if ray.util.get_node_ip_address() == "127.0.0.2" else 0)
    return "quick"

def dies():
    import os
    os._exit(1)

def say(value):
    print(json.dumps(value), file=stdout, flush=True)

def told(function, *args, timeout_s=120):
    results = call_on_every_node(function, *args, timeout_s=timeout_s)
    say({n.address: [r.value, r.error] for n, r in results.items()})

signal.signal(signal.SIGTERM, lambda *_: print("asked to end", file=stdout, flush=True))
with reserve_stdout() as stdout, connect_to_ray(sys.argv[1]) as running:
    say([running.dashboard_url, [dataclasses.asdict(n) for n in running.nodes]])
    for line in sys.stdin:
        match line.split():
            case ["where"]: told(where)
            case ["broken"]: told(broken, "/missing/data")
            case ["slow"]: told(slow_on_head, timeout_s=20)
            case ["dies"]: told(dies)
            case ["live"]: say([n.address for n in list_live_nodes()])
            case ["end"]: os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.fixture
def driver(two_nodes: RayNodes, driver_environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """A process that connects and then does what it reads."""
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, two_nodes.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=driver_environment,
    ) as process:
        yield process
        process.kill()


def _said(driver: "subprocess.Popen[str]") -> Any:
    assert driver.stdout is not None
    line = driver.stdout.readline()
    assert line, "The driver ended."
    return json.loads(line)


def test_every_node_answers_or_tells_why_and_a_killed_one_is_not_asked(
    two_nodes: RayNodes, driver: "subprocess.Popen[str]"
) -> None:
    def answer(command: str) -> Any:
        assert driver.stdin is not None
        driver.stdin.write(command + "\n")
        driver.stdin.flush()
        return _said(driver)

    url, nodes = _said(driver)
    assert url == two_nodes.url
    assert [(n["address"], n["is_head"], n["is_alive"], n["num_cpus"], n["num_gpus"]) for n in nodes] == [
        ("127.0.0.2", True, True, 2, 0),
        ("127.0.0.3", False, True, 2, 0),
    ]
    assert all(n["memory_bytes"] > 1024**3 for n in nodes)
    assert len({n["node_id"] for n in nodes}) == 2

    addresses = ["127.0.0.2", "127.0.0.3"]
    assert answer("where") == {a: [[a, "dgad"], None] for a in addresses}
    missing = "FileNotFoundError: [Errno 2] No such file or directory: '/missing/data'"
    assert answer("broken") == {a: [None, missing] for a in addresses}
    assert answer("slow") == {"127.0.0.2": [None, "no answer within 20 s"], "127.0.0.3": ["quick", None]}
    for value, error in answer("dies").values():
        assert value is None
        assert error.startswith("WorkerCrashedError: ")
        assert "\n" not in error

    added = two_nodes.add_node()
    assert answer("live") == [*addresses, added.ip]
    two_nodes.kill_node(len(two_nodes.nodes) - 1)
    deadline = time.monotonic() + 180
    while len(live := answer("live")) > 2 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert live == addresses

    assert driver.stdin is not None
    driver.stdin.write("end\n")
    driver.stdin.close()
    assert driver.stdout is not None
    assert driver.stdout.read() == "asked to end\n"  # by the handler that was there before Ray
    assert driver.wait(timeout=180) == 0


def _join(address: str) -> None:
    with connect_to_ray(address):
        raise AssertionError("Joined.")


def test_whoever_cannot_join_reads_why_at_once(
    two_nodes: RayNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(two_nodes.token_file))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = f"127.0.0.1:{taken.getsockname()[1]}"
    for address in (dead, two_nodes.url.removeprefix("http://")):
        with pytest.raises(UnreachableError, match=f"No Ray answers at {address}"):
            _join(address)
    monkeypatch.setenv("RAY_ADDRESS", dead)
    with pytest.raises(UnreachableError, match=f"No Ray answers at {dead}"):
        _join("auto")
    with pytest.raises(SettingsError, match="must be HOST:PORT"):
        _join(two_nodes.url)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)
    with pytest.raises(ClusterError, match="does not take the token from RAY_AUTH_TOKEN"):
        _join(two_nodes.address)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ClusterError, match="there is none here"):
        _join(two_nodes.address)


def test_a_ray_of_another_version_is_told() -> None:
    import grpc
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    class Older(gcs_service_pb2_grpc.NodeInfoGcsServiceServicer):
        def CheckAlive(self, request: Any, context: Any) -> Any:  # noqa: N802  # Ray's name
            return gcs_service_pb2.CheckAliveReply(ray_version="2.9.3")

    server = grpc.server(ThreadPoolExecutor(1))
    gcs_service_pb2_grpc.add_NodeInfoGcsServiceServicer_to_server(Older(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with pytest.raises(ClusterError, match=rf"Ray 2\.9\.3 runs at 127\.0\.0\.1:{port}, and 2\.\d+"):
            _join(f"127.0.0.1:{port}")
    finally:
        server.stop(None).wait()
