"""A real Ray of several nodes on loopback addresses of this machine, for tests that need a cluster.

Every node is a `ray start --block` of ours, so whatever else runs Ray on this machine is left alone: only
processes that descend from ours are ended, each by its process id.
"""

import contextlib
import dataclasses
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cluster.embedded import prepare_environment

_OBJECT_STORE_BYTES = 80 * 1024**2
_START_TIMEOUT_S = 120.0
_STARTED = "Ray runtime started."


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NodeProcess:
    """One `ray start --block`; the processes of its node descend from it."""

    ip: str
    process: "subprocess.Popen[bytes]"
    log: Path
    """What `ray start` printed."""

    @property
    def raylet_pid(self) -> int:
        """Of the running raylet."""
        for child in _family(self.process.pid):
            if child.name() == "raylet":
                return int(child.pid)
        raise AssertionError(f"No raylet runs on {self.ip}:\n{self.log.read_text()}")


@dataclasses.dataclass(kw_only=True, slots=True)
class RayNodes:
    """The running nodes; the first is the head."""

    folder: Path
    url: str
    """Of the dashboard, which asks for the token."""
    address: str
    """Of the GCS, for `ray.init`."""
    token_file: Path
    environment: Mapping[str, str]
    """Of the nodes, and for any process that connects to them."""
    python: str
    num_cpus_each: int
    temporary: Path
    """Ray's, with one folder per node."""
    nodes: list[NodeProcess] = dataclasses.field(default_factory=list)
    _seen: list[Any] = dataclasses.field(default_factory=list)

    @property
    def token(self) -> str:
        """What the dashboard and the nodes ask for."""
        return self.token_file.read_text()

    def add_node(self) -> NodeProcess:
        """Start one more worker node and wait until it has joined."""
        return self._start(f"127.0.0.{len(self.nodes) + 2}", "--address", self.address)

    def runs_on(self, node: NodeProcess, actor: str) -> bool:
        """Whether an actor of that class, as Ray names its process, lives on the node."""
        import psutil

        for process in _family(node.process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                if f"ray::{actor}" in " ".join(process.cmdline()):
                    return True
        return False

    def kill_node(self, index: int) -> None:
        """SIGKILL the raylet of a node, as a machine that fails would end; its workers end by themselves."""
        import psutil

        node = self.nodes[index]
        self._seen += _family(node.process.pid)
        raylet = psutil.Process(node.raylet_pid)
        raylet.kill()
        raylet.wait(timeout=60)

    def _start(self, ip: str, *options: str) -> NodeProcess:
        log = self.folder / f"node-{len(self.nodes)}.log"
        command = [self.python, "-c", "from ray.scripts.scripts import main; main()", "start", "--block"]
        command += [*options, f"--node-ip-address={ip}", f"--num-cpus={self.num_cpus_each}", "--num-gpus=0"]
        command += [f"--object-store-memory={_OBJECT_STORE_BYTES}", "--disable-usage-stats"]
        # Of its own: nodes that share one unpack a job's code over each other, under the feet of its driver.
        command += [f"--temp-dir={self.temporary / str(len(self.nodes))}"]
        # 0 lets every node pick free ports: the fixed ones belong to whoever runs Ray here already.
        command += ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(self.environment),
                cwd=self.folder,  # jobs begin there, and would find a checkout in the current folder
            )
        node = NodeProcess(ip=ip, process=process, log=log)
        self.nodes.append(node)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while _STARTED not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"Ray did not start on {ip}:\n{log.read_text(errors='replace')}")
            time.sleep(0.1)
        return node

    def _stop(self) -> None:
        import psutil

        # Killed, not asked: on SIGTERM `ray start` waits up to 30 s for what still runs.
        for node in self.nodes:
            self._seen += _family(node.process.pid)
        for process in self._seen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _, alive = psutil.wait_procs(self._seen, timeout=60)
        for node in self.nodes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.process.wait(timeout=60)
        assert not alive, f"These processes of Ray cannot be ended: {alive}"


@contextlib.contextmanager
def ray_nodes(
    folder: Path,
    count: int,
    *,
    num_cpus_each: int = 2,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RayNodes]:
    """Run a head on 127.0.0.2 and `count - 1` workers on 127.0.0.3 and so on; all end with the context.

    `folder` keeps the token and what `ray start` printed; `python` is the interpreter of the nodes, and
    `environment` adds to theirs. The first node takes about ten seconds on one core, every other four.
    """
    prepare_environment()
    import ray  # noqa: F401  # brings psutil

    folder.mkdir(parents=True, exist_ok=True)
    token_file = folder / "auth_token"
    with open(os.open(token_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    gcs_port, dashboard_port, client_port = _free_ports(3)
    # Not below `folder`: the path of a Unix socket has at most 107 bytes.
    temporary = Path(tempfile.mkdtemp(prefix="dgad-ray-"))
    running = RayNodes(
        folder=folder,
        url=f"http://127.0.0.1:{dashboard_port}",
        address=f"127.0.0.2:{gcs_port}",
        token_file=token_file,
        environment={
            **{k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")},
            "RAY_AUTH_TOKEN_PATH": str(token_file),
            **(environment or {}),
        },
        python=python,
        num_cpus_each=num_cpus_each,
        temporary=temporary,
    )
    try:
        running._start(
            "127.0.0.2",
            *("--head", f"--port={gcs_port}", "--include-dashboard=true"),
            *("--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard_port}"),
            f"--ray-client-server-port={client_port}",
        )
        for _ in range(count - 1):
            running.add_node()
        yield running
    finally:
        running._stop()
        shutil.rmtree(temporary, ignore_errors=True)


def _family(pid: int) -> list[Any]:
    """The process and all that descend from it, as psutil's (which tell a reused process id apart)."""
    import psutil

    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("", 0))
        return [each.getsockname()[1] for each in sockets]
