"""One Ray Tune searcher for the whole matrix: an Optuna study per cell, dealt round-robin.

Each cell's study lives in its own journal in the run folder, and that is all the state there is: a searcher
made again from the journals goes on where the last one was stopped.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from dgad.report.summary import TrialSummary
from dgad.seeds import seed_for
from tune.quiet import quiet_optuna
from tune.run_folder.journals import make_journal_path
from tune.run_folder.layout import (
    ERROR_KEY,
    ORIGIN_KEY,
    POINT_KEY,
    RETRY_OF_KEY,
    SCORES_KEY,
    SETTINGS_KEY,
    VALUES_KEY,
)
from tune.search.journal_backend import JournalFile
from tune.search.samplers import make_pruner, make_sampler
from tune.search.selection import is_interrupted, list_retried, summarise_trials
from tune.spaces import SpaceSettings, space_for
from tune.spaces.base import complete_settings
from tune.spaces.initial_design import DesignPoint, make_initial_design
from tune.study.cells import Cell
from tune.study.objectives import DIRECTIONS, Constraint
from tune.study.settings import Pruning, SamplerName

METRIC = "inner_score"
"""Mean of the first objective over a cell's inner folds: what trials report and the search maximises."""
_DISTRIBUTIONS: dict[str, BaseDistribution] = {}
"""By their text, since `True` and 1 are equal choices and yet not the same."""


class MatrixSearcher(Searcher):
    """Deals trials to cells in turn, never by performance, until each has its number."""

    def __init__(
        self,
        cells: Sequence[Cell],
        journals: Path,
        *,
        spaces: SpaceSettings,
        seed: int,
        sampler: SamplerName = "tpe",
        early_stopping: Pruning = "none",
        objectives: Sequence[str] = ("image_auroc",),
        bounds: Sequence[Constraint] = (),
        retry_failed: Collection[str] = (),
    ) -> None:
        """`retry_failed` names the cells whose failed trials are asked for again."""
        super().__init__(metric=METRIC, mode="max")
        quiet_optuna()
        self._spaces = spaces
        self._objectives = tuple(objectives)
        self._bounds = tuple(bounds)
        self._figures = tuple(dict.fromkeys((*objectives, *(b.name for b in bounds))))
        self._cells = {cell.name: cell for cell in cells if cell.num_trials > 0}
        journals.mkdir(parents=True, exist_ok=True)
        self._files = {name: JournalFile(make_journal_path(journals, name)) for name in self._cells}
        self._studies = {
            name: open_study(
                journals,
                name,
                file=self._files[name],
                seed=seed,
                sampler=sampler,
                early_stopping=early_stopping,
                objectives=objectives,
            )
            for name in self._cells
        }
        self._running: dict[str, tuple[str, optuna.Trial]] = {}
        self._reported: dict[str, int] = {}
        """Inner folds whose running mean the cell's study knows, by trial."""
        self._stopped: set[str] = set()
        designs: dict[tuple[str, int], tuple[DesignPoint, ...]] = {}
        for cell in self._cells.values():
            study, kind = self._studies[cell.name], (cell.method, cell.num_trials)
            if kind not in designs:  # the same in every cell of a method
                designs[kind] = make_initial_design(
                    cell.method, spaces, seed=seed, num_trials=cell.num_trials
                )
            with self._files[cell.name].event():
                _open(study, designs[kind])
                _repair(study)
                if cell.name in retry_failed:
                    _ask_again(study)
        self._dealt = {name: _num_counted(study) for name, study in self._studies.items()}

    @property
    def num_left(self) -> int:
        """Trials still to be dealt."""
        return sum(max(0, c.num_trials - self._dealt[c.name]) for c in self._cells.values())

    @property
    def num_unfinished(self) -> int:
        """Trials still to be dealt or to end."""
        return self.num_left + len(self._running)

    def trials(self) -> dict[str, tuple[TrialSummary, ...]]:
        """The finished trials of every searched cell; its journals are not read again for them."""
        return {name: summarise_trials(study) for name, study in self._studies.items()}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # or FINISHED
        """The next configuration for the cell that has had the fewest, or FINISHED."""
        open_cells = [c for c in self._cells.values() if self._dealt[c.name] < c.num_trials]
        if not open_cells:
            return str(Searcher.FINISHED)
        cell = min(open_cells, key=lambda c: self._dealt[c.name])
        self._dealt[cell.name] += 1
        with self._files[cell.name].event():
            trial = self._studies[cell.name].ask()
            chosen = space_for(cell.method, self._spaces)(trial)
            # A preset keeps also the settings that the space does not ask for.
            kept = trial.user_attrs.get(SETTINGS_KEY)
            settings = json.loads(kept) if kept else complete_settings(cell.method, chosen)
            trial.set_user_attr(SETTINGS_KEY, json.dumps(settings))
        self._running[trial_id] = (cell.name, trial)
        # As JSON: Ray Tune would read meaning into nested mappings and lists.
        return {"cell": cell.name, "number": trial.number, "settings": json.dumps(settings)}

    def should_stop(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Report a finished inner fold to the cell's study, and ask the cell's own rule whether to go on.

        The rule sees the running means of this cell's trials and nothing else.
        """
        name, trial = self._running[trial_id]
        value = result.get(METRIC)
        if result.get("done") or result.get(ERROR_KEY) or value is None or value != value:
            return False
        if len(self._objectives) > 1:
            return False  # Optuna has no pruning with several objectives
        num_folds = len(json.loads(result[SCORES_KEY]))
        if num_folds <= self._reported.get(trial_id, 0):
            return False  # begun again after its worker died
        self._reported[trial_id] = num_folds
        # A power cut ends the trial too, and begun again it reports again.
        with self._files[name].event(flushed=False):
            trial.report(float(value), step=num_folds)
        if not trial.should_prune():
            return False
        self._stopped.add(trial_id)
        return True

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the cell's study: complete with the mean over its inner folds, stopped early, or failed."""
        name, trial = self._running.pop(trial_id)
        self._reported.pop(trial_id, None)
        with self._files[name].event():
            self._end(trial_id, name, trial, result or {}, error)
        _share_distributions(self._studies[name].get_trials(deepcopy=False)[trial.number])

    def _end(
        self, trial_id: str, name: str, trial: optuna.Trial, result: Mapping[str, Any], error: bool
    ) -> None:
        value = result.get(METRIC)
        message = str(result.get(ERROR_KEY, "")) or ("its worker broke off" if error else "")
        usable = value is not None and value == value
        if not message and not usable:
            message = "no inner fold has both normal and abnormal images"
        means = json.loads(result.get(VALUES_KEY, "{}"))
        lacking = [f for f in self._figures if f not in means]
        if not message and lacking:
            message = f"no inner fold gives {' or '.join(lacking)}"
        trial.set_user_attr(SCORES_KEY, result.get(SCORES_KEY, "{}"))
        trial.set_user_attr(VALUES_KEY, json.dumps(means))
        for bound in self._bounds:
            if bound.name in means:  # samplers prefer what keeps to the bounds
                trial.set_constraint(str(bound), bound.excess(means[bound.name]))
        if trial_id in self._stopped:
            # With the last running mean and its fold, so that no sampler takes it for a whole value.
            self._stopped.remove(trial_id)
            self._studies[name].tell(trial, state=TrialState.PRUNED)
        elif value is not None and not message:
            self._studies[name].tell(trial, [means[objective] for objective in self._objectives])
        else:
            trial.set_user_attr(ERROR_KEY, message)
            self._studies[name].tell(trial, state=TrialState.FAIL)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journals are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journals are the state."""


def open_study(
    journals: Path,
    cell_name: str,
    *,
    seed: int,
    sampler: SamplerName = "tpe",
    early_stopping: Pruning = "none",
    objectives: Sequence[str] = ("image_auroc",),
    file: JournalFile | None = None,
) -> optuna.Study:
    """The Optuna study of a cell, made if it is not there; `optuna-dashboard` opens its journal."""
    journals.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(file or JournalFile(make_journal_path(journals, cell_name)))
    # Not by `load_if_exists`, which writes a line each time: most who open a study only read it.
    study = optuna.Study(cell_name, storage) if _has_study(storage, cell_name) else None
    study = study or optuna.create_study(
        storage=storage, study_name=cell_name, directions=[DIRECTIONS[name] for name in objectives]
    )
    # Each restart draws from a stream of its own, or it would propose the same points again.
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        _share_distributions(trial)
    own_seed = seed_for(seed, cell_name, "sampler", str(len(trials)))
    study.sampler = make_sampler(sampler, seed=own_seed)
    study.pruner = make_pruner(early_stopping)
    return study


def _share_distributions(trial: FrozenTrial) -> None:
    """Keep equal distributions once: Optuna makes new ones for every trial, most of what a trial takes."""
    for name, distribution in trial.distributions.items():
        trial.distributions[name] = _DISTRIBUTIONS.setdefault(repr(distribution), distribution)


def _has_study(storage: JournalStorage, name: str) -> bool:
    return any(study.study_name == name for study in storage.get_all_studies())


def _open(study: optuna.Study, design: Sequence[DesignPoint]) -> None:
    """Queue the initial design once, also if an earlier attempt broke off half-way."""
    known = {t.user_attrs.get(POINT_KEY) for t in study.get_trials(deepcopy=False)}
    for number, point in enumerate(design):
        if number not in known:
            attributes = {
                POINT_KEY: number,
                ORIGIN_KEY: point.origin,
                SETTINGS_KEY: json.dumps(point.settings),
            }
            study.enqueue_trial(point.params, user_attrs=attributes)


def _repair(study: optuna.Study) -> None:
    """Ask again for what a stopped run left unfinished; its finished fits will be found."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        # Killed before it was asked for all its parameters, it knows only those it was queued with.
        params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        # Queued before it is given up: a stop in between repeats a trial, and never loses one.
        study.enqueue_trial(params, user_attrs=dict(trial.user_attrs))
        study.tell(trial.number, state=TrialState.FAIL)


def _ask_again(study: optuna.Study) -> None:
    """Queue every failed trial once more; the later attempt will stand for it."""
    superseded = list_retried(study)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.FAIL,)):
        if not is_interrupted(trial) and trial.number not in superseded:
            kept = {k: v for k, v in trial.user_attrs.items() if k not in (ERROR_KEY, SCORES_KEY, VALUES_KEY)}
            study.enqueue_trial(trial.params, user_attrs={**kept, RETRY_OF_KEY: trial.number})


def _num_counted(study: optuna.Study) -> int:
    """Trials that count towards the planned number."""
    trials, superseded = study.get_trials(deepcopy=False), list_retried(study)
    return sum(t.state.is_finished() and not is_interrupted(t) and t.number not in superseded for t in trials)
