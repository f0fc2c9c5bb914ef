"""Services of this machine: the one that is meant is ended, and nothing else."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from serve.operate.registry import RegisteredService, find_birth, is_alive, list_services, register, terminate


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is no service."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    yield process
    process.kill()
    process.wait()


def _service(pid: int, began: str) -> RegisteredService:
    return RegisteredService(
        url="u",
        port=9,
        pid=pid,
        began=began,
        dashboard_url="d",
        token_file="t",
        logs_folder="l",
        bundle="b",
        store="s",
    )


@pytest.mark.parametrize("began", ["unknown", "", "1"])
def test_a_process_of_another_or_unknown_birth_is_neither_listed_nor_signalled(
    sleeper: subprocess.Popen[bytes], began: str
) -> None:
    stale = _service(sleeper.pid, began)
    register(stale)
    assert not is_alive(stale)
    assert not terminate(stale)
    assert list_services() == ()
    with pytest.raises(subprocess.TimeoutExpired):
        sleeper.wait(timeout=0.2)


def test_a_service_is_ended_once(sleeper: subprocess.Popen[bytes]) -> None:
    service = _service(sleeper.pid, find_birth(sleeper.pid) or "none")
    assert is_alive(service)
    assert terminate(service)
    assert sleeper.wait() == -signal.SIGTERM
    assert not is_alive(service)
    assert not terminate(service)
