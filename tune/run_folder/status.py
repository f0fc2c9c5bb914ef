"""What a study's folder says of it, read from any other process while the study runs or after.

Nothing here takes a lock, writes, or needs torch or Ray: a status is there at once. Trials come from the
Optuna journals, which may be read while they grow (a line that is not whole yet is left for later).
"""

import dataclasses
import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from dgad.errors import RecordError, SettingsError
from dgad.records import RecordStore
from dgad.report.summary import CellSummary, read_summary
from tune.run_folder.journals import TrialState, read_trials
from tune.run_folder.layout import (
    FIT_FILE,
    FITS_FOLDER,
    INFO_FILE,
    JOURNALS_FOLDER,
    LEDGER_FOLDER,
    RECORDS_FOLDER,
    SHARED_FOLDER,
    STUDY_FILE,
    SUMMARY_FILE,
)
from tune.run_folder.ledger import Entry, read_growing_ledger
from tune.run_folder.process import Running, is_alive, is_elsewhere, read_ended, read_running
from tune.study.cell_id import DEPLOY, CellId

State = Literal["running", "interrupted", "finished", "failed"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CellStatus:
    """How far a cell is."""

    name: str
    planned: int
    done: int
    """Stopped and failed ones among them."""
    stopped: int
    failed: int
    running: int
    best: float | None
    """Highest mean of the first objective, of a trial that was seen through."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FitCounts:
    """Fits of a study, those of its winners among them."""

    computed: int
    shared: int
    """Asked for and there already, of this study or another."""
    failed: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StudyStatus:
    """A study at one moment."""

    name: str
    folder: str
    state: State
    reason: str
    """Why it failed or how it was interrupted, where that is known."""
    process: Running | None
    """What runs it; None where nothing does."""
    is_elsewhere: bool
    """Run on another host, which cannot be asked from here whether it still does."""
    cells: tuple[CellStatus, ...]
    """The searched ones, once the search has begun."""
    fits: FitCounts
    refits_done: int
    refits_planned: int
    """0 before the selections are sealed."""
    started_at: str
    """UTC, ISO 8601."""
    elapsed_s: float
    """Of all its runs but those that were killed."""
    search_left_s: float | None
    """Estimated; None where nothing is searched or no trial has ended yet."""

    @property
    def done(self) -> int:
        """Trials of all cells that have ended."""
        return sum(c.done for c in self.cells)

    @property
    def planned(self) -> int:
        """Trials of all searched cells."""
        return sum(c.planned for c in self.cells)


def list_studies(runs: Path) -> tuple[str, ...]:
    """The names of the studies kept in a folder."""
    return tuple(sorted(p.parent.name for p in runs.glob(f"*/{STUDY_FILE}")))


def find_study_folder(runs: Path, name: str, told: str | None = None) -> Path:
    """Where a study is; `SettingsError` lists the known ones of the place (`told`) where it is not."""
    known = list_studies(runs)
    if name not in known:
        there = f"it has {', '.join(known)}" if known else "it has none; `dgad-tune launch` begins one"
        raise SettingsError(f"There is no study `{name}` in {told or runs}: {there}.")
    return runs / name


def read_state(folder: Path) -> tuple[State, str, Running | None]:
    """(state, why, the process that runs it)."""
    process, ended = read_running(folder), read_ended(folder)
    if process is not None:
        if is_elsewhere(process) or is_alive(process):
            return "running", "", process
        return "interrupted", f"process {process.pid} was killed", None
    if ended is not None and ended.outcome != "finished":
        return ended.outcome, ended.error, None
    if not (folder / SUMMARY_FILE).is_file():
        return "interrupted", "", None
    failed = [c for c in read_summary(folder).cells if c.error]
    errors = [f"{CellId.of(c.method, c.protocol, c.target)}: {c.error}" for c in failed]
    return ("failed", "; ".join(errors), None) if errors else ("finished", "", None)


def read_status(folder: Path) -> StudyStatus:
    """Read how far a study is from its folder; `RecordError` where a file is damaged."""
    state, reason, process = read_state(folder)
    plan, info = _mapping(folder / STUDY_FILE), _mapping(folder / INFO_FILE)
    trials = dict(read_trials(folder / JOURNALS_FOLDER))
    num_trials = int(plan.get("trials", 0))
    cells = tuple(
        _cell_status(name, found, num_trials, is_running=process is not None)
        for name, found in trials.items()
    )
    entries = read_growing_ledger(folder / LEDGER_FOLDER)
    refits_done, refits_planned = _refits(folder, entries, int(plan.get("seeds", 1)))
    asked = refits_done + sum(t.num_fits for found in trials.values() for t in found)
    elapsed_s = float(info.get("wall_s", 0.0))
    if process is not None:
        begun = datetime.datetime.fromisoformat(process.started_at)
        elapsed_s += (datetime.datetime.now(datetime.UTC) - begun).total_seconds()
    return StudyStatus(
        name=folder.name,
        folder=str(folder),
        state=state,
        reason=reason,
        process=process,
        is_elsewhere=process is not None and is_elsewhere(process),
        cells=cells,
        fits=_fit_counts(folder, entries, asked),
        refits_done=refits_done,
        refits_planned=refits_planned,
        started_at=str(info.get("started_at", "")),
        elapsed_s=elapsed_s,
        search_left_s=_left_s(trials.values(), cells) if process is not None else None,
    )


def read_best_mean(folder: Path) -> float | None:
    """The highest mean image AUROC on surfaces held out, of a method that has all; None before the end.

    One that chose by the target itself (`oracle`) is not among them.
    """
    if not (folder / SUMMARY_FILE).is_file():
        return None
    summary = read_summary(folder)
    rows: dict[str, list[CellSummary]] = {}
    for cell in summary.cells:
        if cell.target not in (DEPLOY, *summary.extra_targets) and cell.protocol != "oracle":
            rows.setdefault(cell.label, []).append(cell)
    means = (_mean_auroc(folder, cells) for cells in rows.values())
    return max((m for m in means if m is not None), default=None)


def _cell_status(name: str, trials: Sequence[TrialState], planned: int, *, is_running: bool) -> CellStatus:
    states = [t.state for t in trials]
    return CellStatus(
        name=name,
        planned=planned,
        done=len(trials) - states.count("running"),
        stopped=states.count("stopped"),
        failed=states.count("failed"),
        running=states.count("running") if is_running else 0,
        best=max((t.value for t in trials if t.value is not None), default=None),
    )


def _left_s(trials: Iterable[Sequence[TrialState]], cells: Sequence[CellStatus]) -> float | None:
    """What is left, at the mean duration of a trial, by as many side by side as there are now."""
    durations = [t.duration_s for found in trials for t in found if t.duration_s is not None]
    num_left = sum(max(0, c.planned - c.done) for c in cells)
    if not durations or num_left == 0:
        return None
    side_by_side = max(1, sum(c.running for c in cells))
    return sum(durations) / len(durations) * num_left / side_by_side


def _fit_file(folder: Path, fit: str) -> Path:
    return folder.parent / SHARED_FOLDER / FITS_FOLDER / fit / FIT_FILE


def _refits(folder: Path, entries: Sequence[Entry], num_seeds: int) -> tuple[int, int]:
    """(refits and scorings done, planned), by the ledger."""
    sealed: set[str] = set()
    done: set[tuple[str, str]] = set()
    planned = 0
    for entry in entries:
        cell, purpose = entry.cell, entry.purpose
        is_deploy = CellId.parse(cell).is_deploy
        if purpose == "seal":
            sealed.add(cell)
            if entry.detail:
                planned += 1 if is_deploy else num_seeds
        elif purpose == "outer":
            is_first = not entry.detail  # with further numbers of references the same job goes on
            record_id = str(entry.record_id)
            if is_first and (folder / RECORDS_FOLDER / f"{record_id}.parquet").is_file():
                done.add((cell, record_id))
        elif purpose == "fit" and is_deploy and cell in sealed:
            fit = entry.detail["fit"]
            if _fit_file(folder, fit).is_file():
                done.add((cell, fit))
    return len(done), planned


def _fit_counts(folder: Path, entries: Sequence[Entry], asked: int) -> FitCounts:
    """Of the fits that the ledger names, those that this study computed and those that failed."""
    states = []
    for fit in {e.detail["fit"] for e in entries if e.purpose == "fit"}:
        try:
            about = json.loads(_fit_file(folder, fit).read_bytes())
        except (FileNotFoundError, ValueError):  # being computed or replaced, or damaged and so fitted again
            continue
        if about.get("study") == folder.name:
            states.append(about.get("status"))
    failed = states.count("failed")
    return FitCounts(computed=len(states) - failed, shared=max(0, asked - len(states)), failed=failed)


def _mean_auroc(folder: Path, cells: Sequence[CellSummary]) -> float | None:
    """Mean over targets of the mean over seeds; None unless every target has one."""
    store = RecordStore(folder / RECORDS_FOLDER)
    targets = []
    for cell in cells:
        records = [store.read(record_id) for record_id in cell.record_ids]
        known = [r.metrics.image_auroc for r in records if r is not None]
        values = [v for v in known if v is not None]
        if not values:
            return None
        targets.append(sum(values) / len(values))
    return sum(targets) / len(targets)


def _mapping(path: Path) -> Mapping[str, Any]:
    """A YAML or JSON file of the run folder; empty before it is there."""
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, ValueError) as error:
        raise RecordError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    if not isinstance(values, Mapping):
        raise RecordError(f"{path} is damaged: it must hold names and values.")
    return values
