"""Who runs a study: this very process, and no stranger that later has its number."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dgad.errors import RecordError
from tune.run_folder.layout import LOG_FILE, RUNNING_FILE
from tune.run_folder.process import (
    Running,
    find_birth,
    interrupt,
    is_alive,
    is_elsewhere,
    mark_running,
    read_ended,
    read_running,
)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with a study."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    yield process
    process.kill()
    process.wait()


def _running(pid: int, born: str) -> Running:
    return Running(pid=pid, born=born, host="h", started_at="2026-01-01T00:00:00+00:00")


def test_the_holder_is_named_while_it_runs_and_its_end_afterwards(tmp_path: Path) -> None:
    with mark_running(tmp_path) as mark:
        running = read_running(tmp_path)
        assert running is not None
        assert running.pid == os.getpid()
        assert is_alive(running)
        assert not is_elsewhere(running)
        assert running.dashboard_url is None
        mark.show_dashboard("http://127.0.0.1:8265")
        assert read_running(tmp_path) == dataclasses.replace(running, dashboard_url="http://127.0.0.1:8265")
    assert read_running(tmp_path) is None
    ended = read_ended(tmp_path)
    assert ended is not None
    assert (ended.outcome, ended.error) == ("finished", "")


@pytest.mark.parametrize(
    ("error", "outcome", "told"),
    [
        (KeyboardInterrupt(), "interrupted", "Stopped; the same name again goes on."),
        (SystemExit(15), "interrupted", "Stopped; the same name again goes on."),
        (ValueError("no\nroom"), "failed", "Failed: no room"),
    ],
)
def test_a_run_that_breaks_off_says_how(
    tmp_path: Path, error: BaseException, outcome: str, told: str
) -> None:
    with pytest.raises(type(error)), mark_running(tmp_path):
        raise error
    ended = read_ended(tmp_path)
    assert ended is not None
    assert ended.outcome == outcome
    assert read_running(tmp_path) is None
    assert (tmp_path / LOG_FILE).read_text().endswith(f"+00:00 {told}\n")


@pytest.mark.parametrize(
    "born",
    [
        "5d2f1b0e-8d3c-4f0e-9a53-0c9a1b7f5d11 123456",  # as it was written before, by boot and clock tick
        "an earlier process",
        "",
        "nan",
        "1700000000.00",
    ],
)
def test_a_stranger_with_the_number_is_neither_taken_for_the_study_nor_signalled(
    sleeper: subprocess.Popen[bytes], born: str
) -> None:
    stale = _running(sleeper.pid, born)
    assert not is_alive(stale)
    assert not interrupt(stale)
    with pytest.raises(subprocess.TimeoutExpired):
        sleeper.wait(timeout=0.5)


def test_the_process_itself_is_interrupted_and_a_dead_one_is_not_there(
    sleeper: subprocess.Popen[bytes],
) -> None:
    born = find_birth(sleeper.pid)
    assert born is not None
    running = _running(sleeper.pid, born)
    assert interrupt(running)
    # Ended, and nobody has asked for its exit status: the number is still taken.
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(running)
    assert sleeper.wait() == -signal.SIGINT
    assert find_birth(sleeper.pid) is None
    assert not interrupt(running)


def test_a_process_is_known_again_after_its_system_clock_was_set_right(
    sleeper: subprocess.Popen[bytes],
) -> None:
    born = float(find_birth(sleeper.pid) or "nan")
    assert is_alive(_running(sleeper.pid, f"{born + 1:.2f}"))
    assert not is_alive(_running(sleeper.pid, f"{born + 3:.2f}"))


def test_a_process_on_another_host_cannot_be_asked() -> None:
    assert is_elsewhere(_running(os.getpid(), "x"))


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / RUNNING_FILE).write_text("{")
    with pytest.raises(RecordError, match="is damaged"):
        read_running(tmp_path)
