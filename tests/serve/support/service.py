"""A real service: `dgad-serve up` in a process of its own, asked over HTTP, its replicas found and killed."""

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import requests

from cluster.tokens import Token
from serve.operate.registry import RegisteredService, find_service

START_TIMEOUT_S = 300.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Service:
    """What runs, and how it is asked."""

    process: "subprocess.Popen[str]"
    told: dict[str, Any]
    """What `up --json` printed."""

    @property
    def url(self) -> str:
        return str(self.told["url"])

    @property
    def running(self) -> RegisteredService:
        return find_service(int(self.url.rpartition(":")[2]))

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.url + path, timeout=180, **options)

    def domain(self, name: str, files: list[bytes]) -> None:
        """Make it with these references."""
        assert self.ask("PUT", f"/v1/domains/{name}").status_code == 201
        assert self.enroll(name, files).status_code == 201

    def enroll(self, name: str, files: list[bytes], **options: Any) -> requests.Response:
        form = [("files", (f"{i}.png", data, "image/png")) for i, data in enumerate(files)]
        return self.ask("POST", f"/v1/domains/{name}/references", files=form, **options)

    def score(self, name: str, data: bytes) -> requests.Response:
        return self.ask("POST", f"/v1/domains/{name}/score", data=data, headers={"Content-Type": "image/png"})

    def replicas(self, deployment: str) -> list[int]:
        """Process ids of its running replicas."""
        return running_replicas(self.serve_details(), deployment)

    def serve_details(self) -> dict[str, Any]:
        """What Serve says of itself."""
        token = Token(value=Path(self.running.token_file).read_text().strip(), source="file")
        return serve_details(str(self.told["dashboard_url"]), token)


def serve_details(dashboard_url: str, token: Token) -> dict[str, Any]:
    """What Serve on that Ray says of itself."""
    answer = requests.get(
        f"{dashboard_url}/api/serve/applications/",
        headers={"Authorization": token.authorization},
        timeout=60,
    )
    return dict(answer.json())


def running_replicas(details: dict[str, Any], deployment: str) -> list[int]:
    """Process ids of a deployment's running replicas."""
    replicas = details["applications"]["dgad"]["deployments"][deployment]["replicas"]
    return sorted(r["pid"] for r in replicas if r["state"] == "RUNNING")


@contextlib.contextmanager
def running_service(
    bundle: Path, store: Path, *options: str, log: Path, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Service]:
    """`dgad-serve up` on a free port; ended on leaving, if it has not ended before."""
    command = [sys.executable, "-m", "serve.cli", "up", "--bundle", str(bundle), "--store", str(store)]
    with open(log, "w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [*command, "--port", "0", "--device", "cpu", "--json", *options],
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    try:
        yield Service(process=process, told=json.loads(_first_line(process, log)))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


def _first_line(process: "subprocess.Popen[str]", log: Path) -> str:
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    stdout = process.stdout
    threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
    with contextlib.suppress(queue.Empty):
        if line := lines.get(timeout=START_TIMEOUT_S):
            return line
    raise AssertionError(f"The service did not start: {log.read_text()}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What is kept of a response, which would keep its connection open."""

    status_code: int
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


@dataclasses.dataclass
class Load:
    """Clients that ask one after the other, until told to stop."""

    answers: list[Answer | Exception] = dataclasses.field(default_factory=list)
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)

    @property
    def failed(self) -> list[str]:
        return [
            repr(a) if isinstance(a, Exception) else f"{a.status_code} {a.text[:200]}"
            for a in self.answers
            if isinstance(a, Exception) or a.status_code != 200
        ]

    def values(self, name: str) -> list[Any]:
        """That of every answer, in order."""
        return [a.json()[name] for a in self.answers if not isinstance(a, Exception)]


@contextlib.contextmanager
def load(ask: Callable[[], requests.Response], *, clients: int, pause_s: float = 0.0) -> Iterator[Load]:
    """Ask for as long as the `with` lasts."""
    made = Load()

    def client() -> None:
        while not made.stop.is_set():
            try:
                response = ask()
                made.answers.append(Answer(status_code=response.status_code, text=response.text))
            except requests.RequestException as error:
                made.answers.append(error)
            time.sleep(pause_s)

    threads = [threading.Thread(target=client, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        made.stop.set()
        for thread in threads:
            thread.join(180)


def wait_for(holds: Callable[[], bool], timeout_s: float = 300.0) -> None:
    """Until it holds."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.2)
