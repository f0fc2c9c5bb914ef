"""The search itself: one Ray Tune experiment over the whole matrix."""

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from typing import Any

from ray import tune as ray_tune
from ray.tune import Callback

from dgad.errors import TrainingError
from dgad.files import is_disk_trouble, name_in_errors
from tune.fits.run import Run
from tune.monitoring.progress import FitEnd, Progress, TrialEnd
from tune.monitoring.trackers import Trackers, Tracking, make_loggers
from tune.quiet import quiet_ray
from tune.run_folder.layout import ERROR_KEY, RAY_FOLDER, SCORES_KEY
from tune.search.scheduler import CellScheduler
from tune.search.searcher import METRIC, MatrixSearcher
from tune.search.tracker_callback import TrackerCallback
from tune.search.trainable import FIT_S, FITS_COMPUTED, FOLD, CellTrial
from tune.search.workers import Workers
from tune.study.cells import Cell

MAX_WORKER_DEATHS = 2
"""A trial whose worker was killed is begun again this often."""

_MIN_AHEAD = 4
"""Trials that wait for a node at least. With one, Ray Tune's default, a freed worker takes it before a new
node's worker has started, and nodes that join stay idle (Ray 2.60)."""

_LONGEST_REASON = 300
"""Characters."""
_ENVIRONMENT = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # workers find files by the paths they are given
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is the command's, which then says how to go on
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a failed trial has no value
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0: no table of Ray's own
}


def search(
    run: Run,
    cells: Sequence[Cell],
    searcher: MatrixSearcher,
    workers: Workers,
    progress: Progress,
    trackers: Trackers,
) -> None:
    """Run every trial that the searcher has left; their outcome is in the Optuna journals and the records.

    Raises `TrainingError` when Ray Tune itself breaks off or ends before all trials have.
    """
    os.environ.update(_ENVIRONMENT)
    if workers.is_elastic:
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(_MIN_AHEAD, workers.count))
    quiet_ray()
    # Ray Tune's own bookkeeping is of no use to us: what matters is in records and journals.
    scratch = run.folder / RAY_FOLDER
    shutil.rmtree(scratch, ignore_errors=True)
    tracking = Tracking(
        make_loggers(trackers, run.folder, run.study.name), run.folder, report=progress.begin_phase
    )
    told = _ProgressCallback(progress, cells)
    trainable = ray_tune.with_parameters(CellTrial, run=run, cells=tuple(cells))
    tuner = ray_tune.Tuner(
        ray_tune.with_resources(trainable, ray_tune.PlacementGroupFactory([workers.ray_resources])),
        tune_config=ray_tune.TuneConfig(
            search_alg=searcher,
            scheduler=CellScheduler(searcher),
            num_samples=-1,  # the searcher says when it is finished
            # Without a bound Ray Tune fills the nodes there are, and keeps some trials waiting for new ones.
            max_concurrent_trials=None if workers.is_elastic else workers.count,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=ray_tune.RunConfig(
            name="search",
            storage_path=str(scratch),
            failure_config=ray_tune.FailureConfig(max_failures=MAX_WORKER_DEATHS),
            callbacks=[told, TrackerCallback(tracking)],
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    except (ray_tune.TuneError, TrainingError, OSError) as error:
        if told.disk_trouble is not None:
            raise told.disk_trouble from None
        if isinstance(error, OSError):  # of Ray Tune's own files, which lie in the run folder
            with name_in_errors(scratch):
                raise
        raise TrainingError(f"Ray Tune broke off: {error}") from error
    else:
        # Ray Tune ends in peace on SIGUSR1 as if all were done; a choice among some would be sealed for good.
        if searcher.num_unfinished:
            raise TrainingError(
                f"Ray Tune ended with {searcher.num_unfinished} trials unfinished (SIGUSR1 does that):"
                " nothing was chosen, and the same name goes on."
            )
    finally:
        tracking.close()
        shutil.rmtree(scratch, ignore_errors=True)


class _ProgressCallback(Callback):
    """Ray Tune's events as the search's own."""

    def __init__(self, progress: Progress | None, cells: Sequence[Cell]) -> None:
        self._progress = progress
        self.disk_trouble: BaseException | None = None
        """Why the search was broken off."""
        self._num_folds = {cell.name: len(cell.folds) for cell in cells}

    def __getstate__(self) -> dict[str, Any]:
        return {
            "_progress": None,
            "disk_trouble": None,
            "_num_folds": self._num_folds,
        }  # Ray Tune stores callbacks with the experiment; a terminal cannot be

    def __deepcopy__(self, memo: dict[int, Any]) -> "_ProgressCallback":
        return self

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial got a worker."""
        if self._progress:
            self._progress.begin_trial(trial.config["cell"], trial.config["number"], "its first fold")

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has finished an inner fold."""
        if self._progress is None:
            return
        self._progress.end_fit(_fit_end(result))
        if not result.get("done"):
            cell, number = trial.config["cell"], trial.config["number"]
            self._progress.begin_trial(cell, number, f"the fold after {result[FOLD]}")

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's worker died, and the trial is begun again; its finished folds are read."""
        self._stop_on_full_disk(trial)
        if self._progress:
            cell, number = trial.config["cell"], trial.config["number"]
            self._progress.begin_phase(f"The worker of {cell} trial {number} died; the trial is begun again.")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial ended by itself, with a value or with an error it told."""
        self._end(trial, str(trial.last_result.get(ERROR_KEY, "")))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's worker broke off too often."""
        self._stop_on_full_disk(trial)
        lines = str(_read_cause(trial) or "").strip().splitlines()
        why = f": {lines[-1].strip()[:_LONGEST_REASON]}" if lines else ""
        self._end(trial, f"its worker broke off{why}")

    def _stop_on_full_disk(self, trial: Any) -> None:
        """Break the search off where results can be kept no longer: it says nothing about a trial.

        As long as a trial may be begun again the journals have no outcome of it, so the next launch has it.
        """
        cause = _read_cause(trial)
        if is_disk_trouble(cause):
            self.disk_trouble = cause
            raise TrainingError(str(cause))  # which ends Ray Tune, whatever it makes of it

    def _end(self, trial: Any, error: str) -> None:
        if self._progress is None:
            return
        value = trial.last_result.get(METRIC)
        usable = not error and value is not None and value == value
        cell = trial.config["cell"]
        num_folds = len(json.loads(trial.last_result.get(SCORES_KEY, "{}")))
        end = TrialEnd(
            value=float(value) if usable else None,
            error=error or ("" if usable else "no inner fold has both classes"),
            duration_s=float(trial.last_result.get("time_total_s") or 0.0),
            stopped_after=num_folds if usable and num_folds < self._num_folds[cell] else None,
        )
        self._progress.end_trial(cell, trial.config["number"], end)


def _fit_end(result: dict[str, Any]) -> FitEnd:
    if result.get(ERROR_KEY):
        return FitEnd(outcome="failed")
    return FitEnd(outcome="computed" if result.get(FITS_COMPUTED) else "shared", fit_s=result.get(FIT_S))


def _read_cause(trial: Any) -> BaseException | None:
    """What broke the trial's worker off, where it is known."""
    # Somebody else's pickle of whatever was raised: it may be missing, or not to be read here.
    with contextlib.suppress(Exception):
        raised = trial.get_pickled_error()
        cause = getattr(raised, "cause", None) or raised
        return cause if isinstance(cause, BaseException) else None
    return None


def _trial_name(trial: Any) -> str:
    return str(trial.trial_id)
