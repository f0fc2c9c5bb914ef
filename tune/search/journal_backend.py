"""The file of an Optuna journal, written once an event instead of once a line.

Asking for a configuration is some thirty lines, and Optuna's own file takes a lock, flushes to disk and reads
again for each. Here what belongs together (`event`) is one write and one flush under one lock, and nothing
that this process wrote is read back. The format and the lock are Optuna's, so that other programs of its kind
may read the file, and write to it between two events.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileSymlinkLock
from optuna.storages.journal._base import BaseJournalBackend

from dgad.files import name_in_errors

_LOCK_GRACE_S = 5
"""One process writes a study, so a lock that stays this long was left by a kill."""


class JournalFile(BaseJournalBackend):
    """Lines of JSON that only grow; killed at any moment, it loses the lines of one event at most.

    What is left of a line that was being written is no line: readers leave it out, and the next to write
    cuts it off.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = JournalFileSymlinkLock(str(path), grace_period=_LOCK_GRACE_S)
        self._is_event = False
        self._end = 0
        """Where the lines end that this object knows of the file."""
        self._waiting: list[bytes] = []
        """Lines of the event that is under way."""
        self._new: list[bytes] = []
        """Lines that the storage has not asked for yet, those that wait among them."""
        self._first_new = 0
        """The number of the first of them."""
        path.touch()

    @contextlib.contextmanager
    def event(self, *, flushed: bool = True) -> Iterator[None]:
        """All that is appended in here is written together, on leaving, and flushed to disk.

        Not `flushed` it survives a kill, but a power cut only once a later event is.
        """
        self._lock.acquire()
        try:
            self._take_in()
            self._is_event = True
            try:
                yield
            finally:
                self._is_event = False
                self._write(flushed)
        finally:
            self._lock.release()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write what Optuna says, at once unless an event is under way."""
        with contextlib.nullcontext() if self._is_event else self.event():
            lines = [json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs]
            self._waiting += lines
            self._new += lines

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """What was said since that line, by whoever."""
        if not self._is_event:  # nobody else writes during one
            self._take_in()
        if log_number_from < self._first_new:  # a storage that begins anew, such as one that was pickled
            lines = [*_whole_lines(self._path.read_bytes()[: self._end]), *self._waiting]
            lines = lines[log_number_from:]
        else:
            lines = self._new[log_number_from - self._first_new :]
        self._first_new += len(self._new)
        self._new.clear()
        return map(_said, lines)

    def _take_in(self) -> None:
        """The whole lines that have come to the file."""
        if self._path.stat().st_size <= self._end:
            return
        with open(self._path, "rb") as file:
            file.seek(self._end)
            lines = _whole_lines(file.read())
        self._new += lines
        self._end += sum(map(len, lines))

    def _write(self, flushed: bool) -> None:
        if not self._waiting:
            return
        data = b"".join(self._waiting)
        with name_in_errors(self._path), open(self._path, "r+b") as file:
            file.truncate(self._end)  # what a killed writer left of a line
            file.seek(self._end)
            file.write(data)
            if flushed:
                file.flush()
                os.fsync(file.fileno())
        self._end += len(data)
        self._waiting.clear()


def _said(line: bytes) -> dict[str, Any]:
    """A line's content; names that come in every trial are kept once, not once a trial."""
    log: dict[str, Any] = json.loads(line)
    if "param_name" in log:
        log["param_name"] = sys.intern(log["param_name"])
    for attributes in ("user_attr", "system_attr"):
        if attributes in log:
            log[attributes] = {sys.intern(name): value for name, value in log[attributes].items()}
    return log


def _whole_lines(data: bytes) -> list[bytes]:
    """Every line that is whole, its end included; of the last one, as Optuna has it, also its JSON is."""
    lines = data.splitlines(keepends=True)
    if lines and not (lines[-1].endswith(b"\n") and _is_json(lines[-1])):
        lines.pop()
    return lines


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
