"""What a cell may know of its trials, and which of them wins."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import optuna

from dgad.errors import DgadError
from dgad.records import Record
from dgad.report.summary import TrialSummary
from tune.cells import Cell
from tune.ledger import Ledger

SCORES = "inner_scores"
"""JSON of image AUROC by inner fold: a user attribute of a finished trial."""
ERROR = "error"
"""Why a trial failed: a user attribute of every failed one."""


STATUS = {optuna.trial.TrialState.COMPLETE: "complete", optuna.trial.TrialState.PRUNED: "stopped"}
"""Of trials that have a value; a stopped one's is the mean over the folds it finished."""


class LeakError(DgadError):
    """A cell was about to read what it must not know: a defect of this program, never of the data."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class InnerScore:
    """All that an objective may see: how a configuration did on one source. It cannot name a target."""

    source: str
    image_auroc: float | None
    """None where the source has one class only."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """A cell's choice, made from inner scores alone."""

    settings: dict[str, Any]
    """Complete."""
    trial: int | None
    """None where there was nothing to choose."""
    inner_score: float | None


def read_inner_score(cell: Cell, record: Record, ledger: Ledger) -> InnerScore:
    """The only way from a record to an objective: checked, and entered into the ledger first."""
    if record.target == cell.target or cell.target in record.fit.sources:
        raise LeakError(
            f"{cell.name} must not see record {record.record_id}, which knows labels of {cell.target}."
        )
    ledger.append(cell.name, "objective", domains=(record.target,), record_id=record.record_id)
    return InnerScore(source=record.target, image_auroc=record.metrics.image_auroc)


def mean_score(scores: Sequence[InnerScore]) -> float | None:
    """Mean image AUROC over the sources that have one; None without any."""
    known = [s.image_auroc for s in scores if s.image_auroc is not None]
    return sum(known) / len(known) if known else None


def select(trials: Sequence[TrialSummary]) -> Selection | None:
    """The complete trial with the highest value, the earliest of equals; None if none is complete."""
    complete = [t for t in trials if t.status == "complete" and t.value is not None]
    if not complete:
        return None
    best = max(complete, key=lambda t: (t.value, -t.number))
    return Selection(settings=best.settings, trial=best.number, inner_score=best.value)


def is_interrupted(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether a stopped run left the trial behind; it was then asked for again."""
    return trial.state == optuna.trial.TrialState.FAIL and not trial.user_attrs.get(ERROR)


def trial_summaries(study: optuna.Study) -> tuple[TrialSummary, ...]:
    """The finished trials of a cell, from its Optuna journal."""
    found = []
    for trial in study.get_trials(deepcopy=False):
        if not trial.state.is_finished() or is_interrupted(trial):
            continue
        duration = trial.duration
        found.append(
            TrialSummary(
                number=trial.number,
                settings=json.loads(trial.user_attrs["settings"]),
                value=trial.value if trial.state in STATUS else None,
                inner_scores=json.loads(trial.user_attrs.get(SCORES, "{}")),
                status=STATUS.get(trial.state, "failed"),
                duration_s=duration.total_seconds() if duration else 0.0,
                error=trial.user_attrs.get(ERROR),
            )
        )
    return tuple(found)
