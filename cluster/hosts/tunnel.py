"""The head's dashboard and Jobs API on a local port, for as long as a command runs."""

import contextlib
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import IO

from cluster.ssh import SshAccess
from dgad.errors import ClusterError

_DASHBOARD_PORT = 8265
_NUM_TRIES = 3


@contextlib.contextmanager
def open_tunnel(
    remote: SshAccess, host: str, *, port: int = _DASHBOARD_PORT, timeout_s: float = 30.0
) -> Iterator[str]:
    """Open a tunnel to `port` of the host's own loopback; its URL here, closed on leaving.

    Raises `UnreachableError` where ssh fails, `ClusterError` where nothing answers in time.
    """
    deadline = time.monotonic() + timeout_s
    remote.known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for tried in range(1, _NUM_TRIES + 1):
        local_port = _free_port()
        with tempfile.TemporaryFile("w+") as complaints:
            process = _start(remote, host, local_port, port, complaints)
            try:
                url = f"http://127.0.0.1:{local_port}"
                if _wait(process, url, deadline):
                    yield url
                    return
                ssh_gave_up = process.poll() is not None
            finally:
                _end(process)
            complaints.seek(0)
            said = complaints.read()
        if "Address already in use" in said and tried < _NUM_TRIES:
            continue  # someone took the port between looking and using it
        if ssh_gave_up:
            raise remote.unreachable(host, said)
        raise ClusterError(
            f"Nothing answers on port {port} of {host} itself: Ray's dashboard does not run there; bring the"
            " cluster up first."
        )


def _start(
    remote: SshAccess, host: str, local_port: int, port: int, complaints: IO[str]
) -> subprocess.Popen[bytes]:
    forward = ("-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{local_port}:127.0.0.1:{port}")
    try:
        # With a command that reads its input, not with -N: so ssh ends when this process does, even when
        # it is killed. In a session of its own: Ctrl-C reaches this process alone, which may still have
        # something to say through the tunnel.
        return subprocess.Popen(
            [*remote.command(host, *forward), "cat >/dev/null"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise ClusterError("`ssh` is needed to reach a cluster's hosts, but is not installed.") from error


def _wait(process: subprocess.Popen[bytes], url: str, deadline: float) -> bool:
    """Whether HTTP came back before the deadline, and before ssh ended."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by a proxy of the user's
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with direct.open(url, timeout=5.0):
                return True
        except urllib.error.HTTPError:  # an answer, though not a glad one
            return True
        except OSError:
            time.sleep(0.2)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        with contextlib.suppress(OSError):
            process.stdin.close()
    process.terminate()
    try:
        process.wait(timeout=5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
