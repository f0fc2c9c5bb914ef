"""Who runs a study right now, and how its last run ended: two small files in the run folder.

`.running.json` names the process that holds the folder; a killed process leaves it behind, so whoever reads
it asks the system whether that very process, and not another one with its number, is still there.
"""

import contextlib
import dataclasses
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from dgad.errors import RecordError, SettingsError
from dgad.files import name_in_errors, write_atomic
from dgad.names import make_printable
from dgad.processes import read_birth, send_signal
from dgad.provenance import utc_now
from dgad.settings import from_dict, to_dict
from tune.run_folder.layout import ENDED_FILE, LOG_FILE, RUNNING_FILE

_CLOCK_TOLERANCE_S = 1.5
"""The system derives births from the time of its start, which moves when its clock is set right."""
Outcome = Literal["finished", "interrupted", "failed"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """The process that runs a study."""

    pid: int
    born: str
    """What tells this process from a later one with its number."""
    host: str
    started_at: str
    """UTC, ISO 8601."""
    dashboard_url: str | None = None
    """None before Ray has started."""
    format_version: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How the last run of a study ended, where it could still say so."""

    outcome: Outcome
    error: str
    """Why it failed, or nothing."""
    at: str
    """UTC, ISO 8601."""
    format_version: int = 1


class LaunchLog:
    """`launch.log`: lines with their time, appended by every run of a study.

    Each is whole, and on disk for readers as soon as it is said.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG_FILE

    def line(self, text: str) -> None:
        """`TIME TEXT`; a text of several lines becomes one, what a terminal would obey an escape."""
        with (
            name_in_errors(self._path),
            open(self._path, "a", encoding="utf-8") as file,
        ):
            file.write(f"{utc_now()} {make_printable(' '.join(text.split()))}\n")


class RunMark:
    """What the process that runs a study says of itself in the run folder, and its log."""

    def __init__(self, folder: Path) -> None:
        self.log = LaunchLog(folder)
        pid = os.getpid()
        self._folder = folder
        self._running = Running(
            pid=pid, born=find_birth(pid) or "", host=socket.gethostname(), started_at=utc_now()
        )

    def show_dashboard(self, url: str) -> None:
        """Write down where Ray's dashboard is, once Ray has started."""
        self._running = dataclasses.replace(self._running, dashboard_url=url)
        self.write()

    def write(self) -> None:
        """Into the run folder, whole or not at all."""
        _write(self._folder / RUNNING_FILE, self._running)


@contextlib.contextmanager
def mark_running(folder: Path) -> Iterator[RunMark]:
    """Say that this process runs the study of `folder`, which it holds; on leaving, how that ended."""
    mark = RunMark(folder)
    mark.write()
    outcome: Outcome = "failed"
    error = told = ""
    try:
        yield mark
        outcome, told = "finished", "Finished."
    except (KeyboardInterrupt, SystemExit):
        outcome, told = "interrupted", "Stopped; the same name again goes on."
        raise
    except BaseException as raised:
        error = str(raised) or type(raised).__name__
        told = f"Failed: {error}"
        raise
    finally:
        mark.log.line(told)
        # In this order: killed in between, the study counts as interrupted, never as running.
        _write(folder / ENDED_FILE, Ended(outcome=outcome, error=error, at=utc_now()))
        (folder / RUNNING_FILE).unlink(missing_ok=True)


def read_running(folder: Path) -> Running | None:
    """Who last said that it runs the study; it may have been killed since."""
    return _read(folder / RUNNING_FILE, Running)


def read_ended(folder: Path) -> Ended | None:
    """How the last run ended; None before the first end."""
    return _read(folder / ENDED_FILE, Ended)


def is_elsewhere(running: Running) -> bool:
    """Whether the process is, or was, on another host, which cannot be asked from here."""
    return running.host != socket.gethostname()


def is_alive(running: Running) -> bool:
    """Whether that very process runs on this host.

    It does not where its birth was written by a version of dgad that told it in another way: such a process
    cannot be told from a later one with its number, so it is never signalled.
    """
    birth = read_birth(running.pid)
    try:
        return birth is not None and abs(birth.epoch_s - float(running.born)) <= _CLOCK_TOLERANCE_S
    except ValueError:
        return False


def interrupt(running: Running) -> bool:
    """Send SIGINT to that very process, and to no other; False where it has ended meanwhile."""
    return send_signal(running.pid, signal.SIGINT, lambda: is_alive(running))


def find_birth(pid: int) -> str | None:
    """When a process began, as a run folder keeps it: seconds since 1970, UTC, to the hundredth.

    None where none runs.
    """
    birth = read_birth(pid)
    return None if birth is None else f"{birth.epoch_s:.2f}"


_Kind = TypeVar("_Kind", Running, Ended)


def _read(path: Path, kind: type[_Kind]) -> _Kind | None:
    try:
        return from_dict(kind, json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, SettingsError) as error:
        raise RecordError(f"{path} is damaged: {error}; the next run of the study replaces it.") from error


def _write(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(to_dict(value), indent=2).encode())
