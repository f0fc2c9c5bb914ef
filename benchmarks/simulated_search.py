"""A whole search in simulated time: the real searcher, keeper and stores, and workers that only wait.

What a worker does is what `tune.search.trainable` and `tune.fits.executor` do, step by step; what the driver
does is what `tune.search.experiment` does. Ray is not started, so that nothing of it is measured.
"""

import dataclasses
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from rich.console import Console
from simulated_fits import SCORING_S, Luck, NotThereError, SimulatedWorkbench, seconds_of
from simulation import Clock, Meter

from dgad.records import FitKey, Record
from tune.fits.coordinator import ASK_S, RENEW_S, Coordinator
from tune.fits.run import Run
from tune.monitoring.launch_log import LogProgress
from tune.monitoring.progress import FitEnd, PlainProgress, Progress, TrialEnd
from tune.monitoring.tee import Tee
from tune.run_folder.layout import ERROR_KEY, SCORES_KEY, VALUES_KEY
from tune.run_folder.ledger import Entry, Ledger, Purpose
from tune.run_folder.process import LaunchLog
from tune.search.searcher import METRIC, MatrixSearcher
from tune.search.selection import average_values, read_inner_score
from tune.study.cells import Cell, InnerFold

MAX_WORKER_DEATHS = 2
_NOTICED_S = 6.0
"""How long it takes Ray to see that a worker is gone, as measured on three hosts (`docs/lab/log.md`)."""
_STARTS_S = 10.0
"""How long a worker takes to be there."""


class LedgerOfKeeper(Ledger):
    """`tune.fits.coordinator.CoordinatedLedger` without Ray: entries are written by the keeper."""

    def __init__(self, location: str, keeper: Coordinator) -> None:
        super().__init__(location)
        self._keeper = keeper

    def append(
        self,
        cell: str,
        purpose: Purpose,
        *,
        domains: Sequence[str] = (),
        record_id: str | None = None,
        detail: dict[str, Any] | None = None,
    ) -> Entry:
        """Have the keeper write the next entry."""
        return self._keeper.append(cell, purpose, tuple(domains), record_id, detail or {})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A trial, and how often its worker has died."""

    trial_id: str
    config: dict[str, Any]
    attempt: int = 0


def searcher_of(run: Run, cells: Sequence[Cell]) -> MatrixSearcher:
    """As `dgad-tune launch` makes it."""
    study = run.study
    return MatrixSearcher(
        cells,
        run.journals_folder,
        spaces=study.space_settings,
        seed=study.seed,
        sampler=study.sampler,
        early_stopping=study.early_stopping,
        objectives=study.objectives,
        bounds=study.bounds,
    )


class SimulatedSearch:
    """Workers, driver and keeper of one study in one process."""

    def __init__(
        self, run: Run, cells: Sequence[Cell], *, meter: Meter, luck: Luck, median_fit_s: float
    ) -> None:
        self.clock = Clock()
        self.meter = meter
        self.counts: Counter[str] = Counter()
        """`trials`, `stopped`, `deaths`, `taken over`, `folds`, `shared`."""
        self.computed: list[str] = []
        """The fits that were computed here, in order."""
        self.run = run
        self.cells = {cell.name: cell for cell in cells}
        self.bench = SimulatedWorkbench(run)
        self.coordinator = Coordinator(run.ledger_location, clock=lambda: self.clock.now_s)
        self.ledger = LedgerOfKeeper(run.ledger_location, self.coordinator)
        self.searcher = searcher_of(run, cells)
        shown = PlainProgress(cells, Console(file=open(os.devnull, "w")))  # noqa: SIM115
        self.progress: Progress = Tee(shown, LogProgress(LaunchLog(run.folder), shown.board))
        self._luck = luck
        self.median_fit_s = median_fit_s
        self._again: deque[Task] = deque()
        self._num_dealt = 0
        self._num_workers = 0
        self._holders: dict[str, str] = {}

    def work(self, num_workers: int, is_over: Callable[[], bool] = lambda: False) -> None:
        """Search until nothing is left, or `is_over`; called again it goes on."""
        for _ in range(num_workers - self._num_workers):
            self.clock.start(self._worker())
        self._num_workers = max(num_workers, self._num_workers)
        self.clock.run(is_over)

    def _next_task(self) -> Task | None:
        if self._again:
            return self._again.popleft()
        trial_id = f"t{self._num_dealt}"
        with self.meter.part("suggest"):
            config = self.searcher.suggest(trial_id)
        if not isinstance(config, dict):
            return None
        self._num_dealt += 1
        with self.meter.part("progress"):
            self.progress.begin_trial(config["cell"], config["number"], "its first fold")
        return Task(trial_id=trial_id, config=config)

    def _worker(self) -> Iterator[float]:
        """Trial after trial; another worker comes for one that dies."""
        while (task := self._next_task()) is not None:
            lives = yield from self._trial(task)
            if not lives:
                self.counts["deaths"] += 1
                self.clock.after(_NOTICED_S, lambda task=task: self._begin_again(task))  # type: ignore[misc]
                self.clock.start(self._worker(), _STARTS_S)
                return

    def _begin_again(self, task: Task) -> None:
        if task.attempt < MAX_WORKER_DEATHS:
            self._again.append(dataclasses.replace(task, attempt=task.attempt + 1))
            return
        with self.meter.part("complete"):
            self.searcher.on_trial_complete(task.trial_id, None, error=True)
        self._tell(task, {}, 0.0)

    def _trial(self, task: Task) -> Generator[float, None, bool]:
        """Fold by fold; False where the worker dies."""
        cell = self.cells[task.config["cell"]]
        settings = json.loads(task.config["settings"])
        names, scores, began_s = self.run.study.figures, [], self.clock.now_s
        result: dict[str, Any] = {}
        for fold in cell.folds:
            key = self.run.fit_key(cell.method, settings, fold.sources, split=fold.split)
            with self.meter.part("ledger"):
                self.ledger.append(cell.name, "fit", domains=key.sources, detail={"fit": key.id})
            num_computed = len(self.computed)
            record = yield from self._record(key, fold, cell, task)
            if record is None:
                return False
            with self.meter.part("ledger"):
                scores.append(read_inner_score(cell, record, self.ledger, names))
            means = average_values(scores, names)
            result = {
                METRIC: means[names[0]],
                SCORES_KEY: json.dumps({s.source: s.values[names[0]] for s in scores}),
                VALUES_KEY: json.dumps(means),
                ERROR_KEY: "",
                "done": len(scores) == len(cell.folds),
            }
            outcome = "shared" if len(self.computed) == num_computed else "computed"
            self.counts["folds"] += 1
            with self.meter.part("progress"):
                self.progress.end_fit(FitEnd(outcome=outcome, fit_s=record.fit_s))
            with self.meter.part("report"):
                if not result["done"] and self.searcher.should_stop(task.trial_id, result):
                    break
        with self.meter.part("complete"):
            self.searcher.on_trial_complete(task.trial_id, result)
        self._tell(task, result, self.clock.now_s - began_s)
        return True

    def _tell(self, task: Task, result: dict[str, Any], duration_s: float) -> None:
        cell, num_folds = self.cells[task.config["cell"]], len(json.loads(result.get(SCORES_KEY, "{}")))
        stopped = bool(result) and num_folds < len(cell.folds)
        self.counts["trials"] += 1
        self.counts["stopped"] += stopped
        end = TrialEnd(
            value=result.get(METRIC),
            error="" if result else "its worker broke off",
            duration_s=duration_s,
            stopped_after=num_folds if stopped else None,
        )
        with self.meter.part("progress"):
            self.progress.end_trial(cell.name, task.config["number"], end)

    def _record(
        self, key: FitKey, fold: InnerFold, cell: Cell, task: Task
    ) -> Generator[float, None, Record | None]:
        """Read, or fitted and scored; None where the worker dies over it."""
        try:
            with self.meter.part("records"):
                return self.bench.record(key, fold.target, label=cell.label, role="inner")
        except NotThereError:
            pass
        dies_after = self._luck.dies_after(task.trial_id, fold.target, task.attempt)
        lives = yield from self.fit(key, worker=f"{task.trial_id}.{task.attempt}", dies_after=dies_after)
        if not lives:
            return None
        yield SCORING_S
        fit_s = seconds_of(key, self.median_fit_s)
        with self.meter.part("records"):
            return self.bench.finish(key, fold.target, label=cell.label, role="inner", fit_s=fit_s)

    def fit(
        self, key: FitKey, *, worker: str, dies_after: float | None = None
    ) -> Generator[float, None, bool]:
        """Make sure that the fit is there; False where the worker dies at it."""
        fit_id = key.id
        with self.meter.part("fits"):
            is_there = self.bench.fits.read_description(fit_id) is not None
        if is_there:
            return True
        pause_s, longest_s = ASK_S
        while not self._acquire(fit_id, worker):
            yield pause_s
            pause_s = min(longest_s, 1.5 * pause_s)
        with self.meter.part("fits"):
            is_there = self.bench.fits.read_description(fit_id) is not None
        if not is_there:
            left_s = seconds_of(key, self.median_fit_s) * (1.0 if dies_after is None else dies_after)
            while left_s > 0:
                yield min(RENEW_S, left_s)
                left_s -= RENEW_S
                if left_s > 0:
                    with self.meter.part("leases"):
                        self.coordinator.renew(fit_id, worker)
            if dies_after is not None:
                return False  # its lease ends by itself
            with self.meter.part("fits"):
                self.bench.make_fit(key)
            self.computed.append(fit_id)
        with self.meter.part("leases"):
            self.coordinator.release(fit_id, worker)
        del self._holders[fit_id]
        return True

    def _acquire(self, fit_id: str, worker: str) -> bool:
        with self.meter.part("leases"):
            is_held = self.coordinator.acquire(fit_id, worker)
        if is_held:
            self.counts["taken over"] += fit_id in self._holders
            self._holders[fit_id] = worker
        return is_held
