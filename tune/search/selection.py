"""What a cell may know of its trials, and which of them wins."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from dgad.errors import DgadError
from dgad.records import Record
from dgad.report.summary import TrialSummary
from tune.run_folder.layout import ERROR_KEY, RETRY_OF_KEY, SCORES_KEY, SETTINGS_KEY, VALUES_KEY
from tune.run_folder.ledger import Ledger
from tune.study.cells import Cell
from tune.study.objectives import DIRECTIONS, Constraint, pareto_front, read_value

STATUS = {optuna.trial.TrialState.COMPLETE: "complete", optuna.trial.TrialState.PRUNED: "stopped"}
"""Of trials that have a value; a stopped one's is the mean over the folds it finished."""


class LeakError(DgadError):
    """A cell was about to read what it must not know: a defect of this program, never of the data."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class InnerScore:
    """All that an objective may see: how a configuration did on one inner fold."""

    source: str
    """The domain that judged; for every protocol but `oracle` it cannot be the target."""
    values: Mapping[str, float | None]
    """By objective; None where it is not defined, as the AUROC of one class is not."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """A cell's choice, made from inner scores alone."""

    settings: dict[str, Any]
    """Complete."""
    trial: int | None
    """None where there was nothing to choose."""
    inner_score: float | None


def read_inner_score(cell: Cell, record: Record, ledger: Ledger, names: Sequence[str]) -> InnerScore:
    """The only way from a record to an objective: checked, and entered into the ledger first."""
    peeks = record.target == cell.target and cell.protocol != "oracle"
    if peeks or cell.target in record.fit.sources:
        raise LeakError(
            f"{cell.name} must not see record {record.record_id}, which knows labels of {cell.target}."
        )
    if record.target in record.fit.sources and record.fit.split != "half":
        raise LeakError(
            f"{cell.name} must not be judged by record {record.record_id}, whose fit was trained on the"
            f" images that it scores."
        )
    ledger.append(cell.name, "objective", domains=(record.target,), record_id=record.record_id)
    return InnerScore(source=record.target, values={name: read_value(record, name) for name in names})


def average_values(scores: Sequence[InnerScore], names: Sequence[str]) -> dict[str, float]:
    """Mean of each figure over the inner folds that have it; a figure that none has is left out."""
    means = {}
    for name in names:
        known = [v for s in scores if (v := s.values[name]) is not None and math.isfinite(v)]
        if known:
            means[name] = sum(known) / len(known)
    return means


def select(
    trials: Sequence[TrialSummary], objectives: Sequence[str], bounds: Sequence[Constraint] = ()
) -> Selection | None:
    """The winner among the complete trials that keep to every bound; None where there is none.

    The best in the first objective, of equal ones the best in the next, then the earliest; that one is on
    the Pareto front.
    """
    candidates = [t for t in trials if _is_feasible(t, objectives, bounds)]
    if not candidates:
        return None
    signs = [1.0 if DIRECTIONS[name] == "maximize" else -1.0 for name in objectives]
    best = max(
        candidates,
        key=lambda t: (
            *(sign * t.values[name] for sign, name in zip(signs, objectives, strict=True)),
            -t.number,
        ),
    )
    return Selection(settings=best.settings, trial=best.number, inner_score=best.value)


def _is_feasible(trial: TrialSummary, objectives: Sequence[str], bounds: Sequence[Constraint]) -> bool:
    """Whether a trial is complete, has every figure, and keeps to every bound."""
    has_all = all(name in trial.values for name in (*objectives, *(b.name for b in bounds)))
    return trial.status == "complete" and has_all and all(b.excess(trial.values[b.name]) <= 0 for b in bounds)


def find_front(
    trials: Sequence[TrialSummary], objectives: Sequence[str], bounds: Sequence[Constraint]
) -> tuple[int, ...]:
    """The numbers of the trials on the Pareto front; none with one objective, which has no front."""
    if len(objectives) < 2:
        return ()
    values = {
        t.number: [t.values[name] for name in objectives]
        for t in trials
        if _is_feasible(t, objectives, bounds)
    }
    return pareto_front(values, objectives)


def explain_no_winner(trials: Sequence[TrialSummary], bounds: Sequence[Constraint]) -> str:
    """Why a cell has no winner."""
    complete = [t for t in trials if t.status == "complete"]
    if not complete:
        return "every trial of the cell failed"
    nearest = []
    for bound in bounds:
        known = [t.values[bound.name] for t in complete if bound.name in t.values]
        if known:
            nearest.append(f"{bound} (the nearest has {min(known, key=bound.excess):.4g})")
    return f"no configuration keeps to {' and '.join(nearest) or 'its constraints'}"


def is_interrupted(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether a stopped run left the trial behind; it was then asked for again."""
    return trial.state == optuna.trial.TrialState.FAIL and not trial.user_attrs.get(ERROR_KEY)


def list_retried(study: optuna.Study) -> frozenset[int]:
    """The numbers of failed trials that were asked for again: the later attempt stands for them."""
    trials = study.get_trials(deepcopy=False)
    return frozenset(t.user_attrs[RETRY_OF_KEY] for t in trials if RETRY_OF_KEY in t.user_attrs)


def summarise_trials(study: optuna.Study) -> tuple[TrialSummary, ...]:
    """The finished trials of a cell, from its Optuna journal."""
    found = []
    superseded = list_retried(study)
    for trial in study.get_trials(deepcopy=False):
        if not trial.state.is_finished() or is_interrupted(trial) or trial.number in superseded:
            continue
        duration = trial.duration
        values = json.loads(trial.user_attrs.get(VALUES_KEY, "{}"))
        scores = json.loads(trial.user_attrs.get(SCORES_KEY, "{}"))
        has_value = trial.state in STATUS
        found.append(
            TrialSummary(
                number=trial.number,
                settings=json.loads(trial.user_attrs[SETTINGS_KEY]),
                value=_first_value(trial) if has_value else None,
                inner_scores=scores,
                status=STATUS.get(trial.state, "failed"),
                duration_s=duration.total_seconds() if duration else 0.0,
                error=trial.user_attrs.get(ERROR_KEY),
                values=values if has_value else {},
            )
        )
    return tuple(found)


def _first_value(trial: optuna.trial.FrozenTrial) -> float | None:
    """The first objective; a pruned trial has one only where there is one objective."""
    return trial.values[0] if trial.values else None
