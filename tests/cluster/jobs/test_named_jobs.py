"""Jobs by name on a real Ray: submitted, followed through drops, stopped, submitted again, refused."""

import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.jobs.named_jobs import AlreadyRunning, Jobs
from cluster.tokens import Token, read_token
from dgad.errors import ClusterError, SettingsError, UnreachableError
from tests.cluster.support.ray_nodes import RayNodes


def _token(nodes: RayNodes) -> Token:
    return Token(value=nodes.token, source=str(nodes.token_file))


@pytest.fixture
def jobs(two_nodes: RayNodes) -> Jobs:
    """The Jobs API of the running Ray."""
    return Jobs(two_nodes.url, _token(two_nodes))


def _wait_for(jobs: Jobs, name: str, line: str) -> None:
    for text in jobs.follow(name):
        if text == line:
            return
    raise AssertionError(f"{name} ended without {line!r}: {jobs.read_log(name)}")


def test_a_job_runs_in_its_folder_under_its_name_and_again_as_soon_as_it_has_ended(
    jobs: Jobs, tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("shipped")
    command = "cat note.txt; echo; echo $GREETING; exit $STATUS"
    for attempt, status in enumerate((3, 0), start=1):
        # The second is submitted at the moment the first ends, when Ray itself would jam the name.
        jobs.submit(
            "again",
            command,
            tmp_path,
            metadata={"kind": "test"},
            env={"GREETING": f"hello {attempt}", "STATUS": str(status)},
        )
        lines = list(jobs.follow("again"))
        state = jobs.find("again")
        assert state is not None
        # Ray writes this line unflushed, so it lands anywhere in what the command prints.
        rays_own = f"Running entrypoint for job {state.submission_id}: {command}\n"
        assert "".join(lines).replace(rays_own, "", 1).endswith(f"shipped\nhello {attempt}\n")
        assert "".join(lines) == jobs.read_log("again")
        assert state.has_ended
        assert (state.status, state.exit_code) == (("failed", 3) if status else ("succeeded", 0))
        assert state.submission_id == ("again" if attempt == 1 else "again.2")
        assert state.entrypoint == command
        assert state.started_at is not None
        assert state.ended_at is not None
        assert state.started_at < state.ended_at
        assert abs(state.ended_at.timestamp() - time.time()) < 60
    assert [job.submission_id for job in jobs.list_jobs("kind")] == ["again.2"]
    assert jobs.list_jobs("other") == ()


def test_a_running_name_is_refused_and_a_stopped_job_has_time_to_end(jobs: Jobs) -> None:
    slow = "trap 'echo ending; sleep 4; echo ended; exit 0' TERM; echo begun; while true; do sleep 0.1; done"
    jobs.submit("busy", slow, None, metadata={}, env={})
    _wait_for(jobs, "busy", "begun\n")
    with pytest.raises(AlreadyRunning, match="`busy` is running"):
        jobs.submit("busy", "echo second", None, metadata={}, env={})
    assert not jobs.stop("busy", timeout_s=0.5)
    assert jobs.stop("busy", timeout_s=120)
    state = jobs.find("busy")
    assert state is not None
    assert state.status == "stopped"
    assert jobs.read_log("busy").endswith("ending\nended\n")  # Ray by itself would have killed it after 3 s
    assert jobs.stop("busy", timeout_s=1)
    assert "second" not in jobs.read_log("busy")


class Tunnel:
    """A TCP forwarder that can be cut, as ssh's would be."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> int:
        """Close every connection; returns how many there were."""
        cut, self._open = self._open, []
        for each in cut:
            with contextlib.suppress(OSError):  # closed already
                each.shutdown(socket.SHUT_RDWR)
        return len(cut)

    def close(self) -> None:
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listening.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self._to))
            self._open += [here, there]
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.fixture
def tunnel(two_nodes: RayNodes) -> Iterator[Tunnel]:
    """To the dashboard."""
    opened = Tunnel(int(two_nodes.url.rpartition(":")[2]))
    yield opened
    opened.close()


def test_a_log_is_followed_through_a_dropped_tunnel_without_a_line_twice(
    jobs: Jobs, two_nodes: RayNodes, tunnel: Tunnel
) -> None:
    jobs.submit(
        "counting",
        "for i in $(seq 40); do echo line $i; sleep 0.2; done; printf last",
        None,
        metadata={},
        env={},
    )
    through = Jobs(f"http://127.0.0.1:{tunnel.port}", _token(two_nodes))
    lines: list[str] = []
    num_cut = 0
    for line in through.follow("counting"):
        lines.append(line)
        if line in ("line 3\n", "line 20\n"):
            num_cut += tunnel.cut() > 0
    assert num_cut == 2
    assert [line for line in lines if line.startswith("line ")] == [f"line {i}\n" for i in range(1, 41)]
    assert lines[-1] == "last"


FOLLOW = """
import sys
from cluster.jobs.named_jobs import Jobs
from cluster.tokens import read_token
try:
    for line in Jobs(sys.argv[1], read_token()).follow("deaf"):
        print(line, end="", flush=True)
except KeyboardInterrupt:
    print("left", flush=True)
"""


DEAF = "trap '' TERM; echo begun; sleep 300"
HEADLINE = f"Running entrypoint for job deaf: {DEAF}"


def test_whoever_follows_may_leave_and_a_job_that_will_not_end_is_killed(
    jobs: Jobs, two_nodes: RayNodes, tunnel: Tunnel, driver_environment: dict[str, str]
) -> None:
    jobs.submit("deaf", DEAF, None, metadata={}, env={}, stop_grace_s=1)
    process = subprocess.Popen(
        [sys.executable, "-c", FOLLOW, two_nodes.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=driver_environment,
    )
    assert process.stdout is not None
    while process.stdout.readline() != "begun\n":
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    followed, told = process.communicate(timeout=120)
    followed = followed.replace(f"{HEADLINE}\n", "")  # Ray's own line may come after the job's first
    assert (followed, told) == ("left\n", "")

    lines = Jobs(f"http://127.0.0.1:{tunnel.port}", _token(two_nodes)).follow("deaf", patience_s=1)
    while next(lines) != "begun\n":
        pass
    tunnel.close()
    with pytest.raises(UnreachableError, match="is the cluster up"):
        list(lines)

    state = jobs.find("deaf")
    assert state is not None
    assert state.status == "running"
    assert jobs.stop("deaf", timeout_s=120)  # its `sleep` has 300 s to go


def test_a_helper_job_gives_its_standard_output_alone(jobs: Jobs) -> None:
    assert jobs.run("printf 'a\\nb'; echo noise >&2", None, timeout_s=300) == "a\nb"
    with pytest.raises(ClusterError, match=r"exit status 7.*partly\nbroken 'it'"):
        jobs.run("echo partly; echo \"broken 'it'\" >&2; exit 7", None, timeout_s=300)
    with pytest.raises(ClusterError, match=r"`sleep 100` at .* has not ended within 2 s"):
        jobs.run("sleep 100", None, timeout_s=2)
    with pytest.raises(ClusterError, match="No job `dgad-none`") as refused:
        jobs.read_log("dgad-none")
    assert "dgad-" not in str(refused.value).partition("there are:")[2]


def test_bytes_that_are_no_text_are_told_of(jobs: Jobs) -> None:
    jobs.submit("bytes", r"echo before; sleep 1; printf '\377\n'; sleep 1", None, metadata={}, env={})
    with pytest.raises(ClusterError, match=r"not UTF-8: read logs/job-driver-bytes\.log"):
        list(jobs.follow("bytes"))


def test_whoever_is_refused_reads_why_and_no_token(two_nodes: RayNodes) -> None:
    wrong = Token(value="0123456789abcdef" * 4, source="RAY_AUTH_TOKEN")
    with pytest.raises(ClusterError, match="does not take the token from RAY_AUTH_TOKEN") as refused:
        Jobs(two_nodes.url, wrong).find("any")
    assert wrong.value not in "".join(traceback.format_exception(refused.value)) + repr(wrong)
    with pytest.raises(ClusterError, match="asks for a token, and there is none here"):
        Jobs(two_nodes.url, None).find("any")


def test_an_address_without_a_dashboard_is_told(two_nodes: RayNodes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = taken.getsockname()[1]
    with pytest.raises(UnreachableError, match=f"No answer from a Ray dashboard at http://127.0.0.1:{dead}"):
        Jobs(f"http://127.0.0.1:{dead}", None).find("any")
    with pytest.raises(ClusterError):  # the port of the GCS, which speaks something else
        Jobs(f"http://{two_nodes.address}", None).find("any")
    with pytest.raises(SettingsError, match="must be http://HOST:PORT"):
        Jobs(two_nodes.address, None).find("any")


class OldDashboard(http.server.BaseHTTPRequestHandler):
    """Answers as a dashboard of an older Ray."""

    def do_GET(self) -> None:
        body = json.dumps({"version": "4", "ray_version": "2.9.3", "ray_commit": "", "session_name": ""})
        self.send_response(200 if self.path == "/api/version" else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_an_older_ray_and_another_server_are_told() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OldDashboard) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with pytest.raises(ClusterError, match=r"Ray 2\.9\.3 runs at .* and dgad needs ray"):
            Jobs(url, None).submit("any", "true", None, metadata={}, env={})
        server.RequestHandlerClass = http.server.SimpleHTTPRequestHandler
        OldDashboard.log_message(server)
        with pytest.raises(ClusterError, match="is no Ray dashboard"):
            Jobs(url, None).find("any")
        server.shutdown()


def test_neither_the_environments_address_nor_its_proxy_is_asked(
    two_nodes: RayNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert Jobs(two_nodes.url, _token(two_nodes)).find("none of that name") is None
    assert os.environ["RAY_ADDRESS"] == "http://127.0.0.1:9"


def test_the_token_is_found_where_ray_would_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    assert read_token() is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("home\n")
    assert read_token() == Token(value="home", source=str(tmp_path / ".ray" / "auth_token"))
    (tmp_path / "other").write_text(" file ")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "other"))
    assert read_token() == Token(value="file", source=str(tmp_path / "other"))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "variable")
    assert read_token() == Token(value="variable", source="RAY_AUTH_TOKEN")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "missing"))
    with pytest.raises(SettingsError, match=r"RAY_AUTH_TOKEN_PATH names .*missing, which cannot be read"):
        read_token()
