"""A study kept at a URI, and the local folder in which it is worked on or looked at.

Workers write records, ledger, examples and tracebacks straight to the URI; they are only ever brought here.
Everything else is the driver's, written here and mirrored there. Journals and logs only grow, so of two
copies the longer is the later one.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from dgad.errors import DgadError
from dgad.files import is_temporary, write_atomic
from dgad.storage import Storage
from tune.run_folder.layout import (
    BUNDLE_FOLDER,
    DATA_FOLDER,
    ENDED_FILE,
    EXAMPLES_FOLDER,
    FIT_FILE,
    FITS_FOLDER,
    JOURNALS_FOLDER,
    LEDGER_FOLDER,
    LOG_FILE,
    LOGS_FOLDER,
    RAY_FOLDER,
    RECORDS_FOLDER,
    REPORT_FILE,
    REPORT_FOLDER,
    RUNNING_FILE,
    SHARED_FOLDER,
    STUDY_FILE,
)
from tune.run_folder.ledger import read_growing_ledger

INTERVAL_S = 5.0
_WORKERS_WRITE = (RECORDS_FOLDER, LEDGER_FOLDER, EXAMPLES_FOLDER, LOGS_FOLDER)
_GROW = (JOURNALS_FOLDER, LOG_FILE)
_LARGE = (BUNDLE_FOLDER, REPORT_FILE, REPORT_FOLDER)
_STAY_HERE = (DATA_FOLDER, RAY_FOLDER)
_MARKS = (RUNNING_FILE, ENDED_FILE)


def list_studies_at(runs: Storage) -> tuple[str, ...]:
    """The names of the studies kept in a place."""
    return tuple(name for name in runs.folders() if runs.exists(f"{name}/{STUDY_FILE}"))


def pull(store: Storage, folder: Path) -> None:
    """Bring the study here, but for its weights; nothing where there is none."""
    there = store.sizes(deep=True)
    if STUDY_FILE not in there:
        return
    _fetch(store, folder, [name for name, size in there.items() if _is_wanted(name, size, folder)])
    for mark in _MARKS:
        data = store.read(mark)
        if data is None:
            (folder / mark).unlink(missing_ok=True)
        else:
            write_atomic(folder / mark, data)
    _fetch_fits(store, folder)


class Mirror:
    """Keeps the URI up to date with the folder for as long as it is entered, and once on leaving."""

    def __init__(
        self, folder: Path, store: Storage, *, report: Callable[[str], None], interval_s: float = INTERVAL_S
    ) -> None:
        self._interval_s = interval_s
        self._folder = folder
        self._store = store
        self._report = report
        self._pushed: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_pushing, daemon=True)

    def __enter__(self) -> "Mirror":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()
        self.push()

    def push(self) -> None:
        """Write what has changed here since the last time; `RecordError` where the storage is gone."""
        with self._lock:
            here = dict(self._own_files())
            for name, state in here.items():
                if self._pushed.get(name) != state:
                    with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                        self._store.write(name, (self._folder / name).read_bytes())
                        self._pushed[name] = state
            for name in [n for n in self._pushed if n not in here]:
                self._store.delete(name)
                del self._pushed[name]

    def fetch_results(self) -> None:
        """Bring here what workers have written, for whoever makes a report of it."""
        names = self._store.sizes(deep=True).items()
        wanted = [n for n, size in names if _top(n) in _WORKERS_WRITE and _is_wanted(n, size, self._folder)]
        _fetch(self._store, self._folder, wanted)
        _fetch_fits(self._store, self._folder)

    def _keep_pushing(self) -> None:
        was_well = True
        while not self._ended.wait(self._interval_s):
            try:
                self.push()
                was_well = True
            except DgadError as error:  # it may come back; if it has not at the end, that is raised
                if was_well:
                    self._report(f"The study's copy is behind, and is tried again: {error}")
                was_well = False

    def _own_files(self) -> Iterable[tuple[str, tuple[int, int]]]:
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            is_hidden = path.name.startswith(".") and name not in _MARKS
            if _top(name) in (*_WORKERS_WRITE, *_STAY_HERE) or is_hidden or is_temporary(_top(name)):
                continue
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    stat = path.stat()
                    yield name, (stat.st_mtime_ns, stat.st_size)


def _top(name: str) -> str:
    return name.partition("/")[0]


def _is_wanted(name: str, size: int, folder: Path) -> bool:
    path = folder / name
    if _top(name) in _STAY_HERE:
        return False
    here = path.stat().st_size if path.is_file() else None
    if _top(name) in _GROW:
        return here is None or size > here
    if _top(name) in (*_WORKERS_WRITE, *_LARGE):
        return here != size
    return True


def _fetch(store: Storage, folder: Path, names: Sequence[str]) -> None:
    def bring(name: str) -> None:
        data = store.read(name)
        if data is not None:
            write_atomic(folder / name, data, flushed=False)

    store.each(bring, names)


def _fetch_fits(store: Storage, folder: Path) -> None:
    """What is known of the fits that the ledger names, without their weights, beside the study as there."""
    entries = read_growing_ledger(folder / LEDGER_FOLDER)
    fits = {f"{FITS_FOLDER}/{e.detail['fit']}/{FIT_FILE}" for e in entries if e.purpose == "fit"}
    shared = folder.parent / SHARED_FOLDER
    _fetch(store.sibling(SHARED_FOLDER), shared, [name for name in fits if not (shared / name).is_file()])
