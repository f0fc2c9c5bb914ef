"""The Optuna journals of a study, read by another process while they grow, without a lock.

Optuna leaves a line that is not whole yet for later. `tune.search.searcher` opens them to write.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, unquote

from tune.run_folder.layout import ERROR_KEY, RETRY_OF_KEY, SCORES_KEY

if TYPE_CHECKING:
    import optuna


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrialState:
    """What is needed of a trial."""

    state: Literal["running", "complete", "stopped", "failed"]
    value: float | None
    num_fits: int
    duration_s: float | None


def read_trials(journals: Path) -> Iterator[tuple[str, tuple[TrialState, ...]]]:
    """By cell; those that a stopped run left behind, and failed ones that were tried again, are left out."""
    paths = sorted(journals.glob("*.log"))
    if not paths:
        return
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState as OptunaState

    from tune.quiet import quiet_optuna

    quiet_optuna()
    states: Mapping[Any, Any] = {
        OptunaState.RUNNING: "running",
        OptunaState.COMPLETE: "complete",
        OptunaState.PRUNED: "stopped",
        OptunaState.FAIL: "failed",
    }
    for path in paths:
        storage = JournalStorage(JournalFileBackend(str(path)))
        found = []
        for study in storage.get_all_studies():
            trials = storage.get_all_trials(study._study_id, deepcopy=False)
            tried_again = {t.user_attrs.get(RETRY_OF_KEY) for t in trials}
            for trial in trials:
                error = trial.user_attrs.get(ERROR_KEY)
                is_left = trial.state == OptunaState.FAIL and not error
                if trial.state not in states or is_left or trial.number in tried_again:
                    continue
                num_scores = len(json.loads(trial.user_attrs.get(SCORES_KEY, "{}")))
                found.append(
                    TrialState(
                        state=states[trial.state],
                        value=trial.values[0] if trial.state == OptunaState.COMPLETE else None,
                        num_fits=num_scores + bool(error),
                        duration_s=trial.duration.total_seconds() if trial.duration else None,
                    )
                )
        yield unquote(path.stem), tuple(found)


def make_journal_path(journals: Path, cell_name: str) -> Path:
    """Where the journal of a cell is."""
    return journals / f"{quote(cell_name, safe='@')}.log"


def list_journal_cells(journals: Path) -> tuple[str, ...]:
    """The cells that have a journal."""
    return tuple(sorted(unquote(path.stem) for path in journals.glob("*.log")))


def load_journal(journals: Path, cell_name: str) -> "optuna.Study | None":
    """The Optuna study of a cell, to be read only; None where it has only just been begun."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    from tune.quiet import quiet_optuna

    quiet_optuna()
    storage = JournalStorage(JournalFileBackend(str(make_journal_path(journals, cell_name))))
    try:
        return optuna.load_study(study_name=cell_name, storage=storage)
    except KeyError:
        return None
