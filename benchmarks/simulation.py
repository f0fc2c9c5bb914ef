"""Simulated time, and real seconds by what they were spent on.

A process of the simulation is a generator that yields the seconds it waits. Between two waits it does real
work, which takes no simulated time.
"""

import contextlib
import heapq
import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

Process = Iterator[float]


class Clock:
    """Events in the order of their simulated moments; those of the same moment as they were asked for."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do `action` when `delay_s` have passed."""
        heapq.heappush(self._events, (self.now_s + delay_s, next(self._numbers), action))

    def start(self, process: Process, delay_s: float = 0.0) -> None:
        """Let a process begin after `delay_s`, and go on after each wait that it yields."""

        def go_on() -> None:
            with contextlib.suppress(StopIteration):
                self.after(next(process), go_on)

        self.after(delay_s, go_on)

    def run(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """Until nothing is left to happen, or `is_over`."""
        while self._events and not is_over():
            self.now_s, _, action = heapq.heappop(self._events)
            action()


class Meter:
    """Seconds by the clock and of the processor, calls, and flushes to disk, by part of the work."""

    def __init__(self) -> None:
        self.wall_s: Counter[str] = Counter()
        self.cpu_s: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.flushes: Counter[str] = Counter()
        self._part = ""

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What happens in here belongs to `name`; parts do not lie within each other."""
        assert not self._part, f"{name} within {self._part}"
        self._part = name
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall_s[name] += time.perf_counter() - wall_s
            self.cpu_s[name] += time.process_time() - cpu_s
            self.calls[name] += 1
            self._part = ""

    @contextlib.contextmanager
    def counting_flushes(self) -> Iterator[None]:
        """Count every `os.fsync`: how long one takes differs between disks a hundredfold."""
        flush = os.fsync

        def counted(descriptor: int) -> None:
            self.flushes[self._part] += 1
            flush(descriptor)

        os.fsync = counted  # type: ignore[assignment]
        try:
            yield
        finally:
            os.fsync = flush


def resident_bytes() -> int:
    """Memory of this process at the moment (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def size_of(folder: Path) -> tuple[int, int]:
    """(files, bytes) below a folder."""
    sizes = [entry.stat().st_size for entry in folder.rglob("*") if entry.is_file()]
    return len(sizes), sum(sizes)
