"""The summary of a study that has not ended, from its folder alone: journals, ledger and records."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dgad.errors import RecordError
from dgad.records import RecordStore, current_versions
from dgad.report.summary import FILE_NAME as SUMMARY_FILE
from dgad.report.summary import CellSummary, StudySummary, TrialSummary, read_summary
from dgad.settings import to_dict
from tune.cells import DEPLOY
from tune.run_folder import read_info
from tune.searcher import journal_cells, journal_path
from tune.selection import trial_summaries
from tune.status import StudyStatus, status
from tune.study import read_study


def summary_now(folder: Path) -> tuple[StudySummary, str]:
    """(summary, what a reader must know of it): the study's own once it has ended, else what is there so far.

    `RecordError` for a folder of no study, or one that has not begun.
    """
    found = status(folder)
    if found.process is None and (folder / SUMMARY_FILE).is_file():
        return read_summary(folder), ""
    study, info = read_study(folder), read_info(folder)
    if study is None or info is None:
        raise RecordError(f"{folder} holds no study that has begun: there is nothing to report yet.")
    ledger = _ledger(folder)
    trials = {name: _trials(folder, name) for name in journal_cells(folder / "optuna")}
    records = RecordStore(folder / "records")
    names = dict.fromkeys([*trials, *(e["cell"] for e in ledger if e["purpose"] == "seal")])
    cells = tuple(_cell(name, trials.get(name, ()), ledger, records) for name in names)
    targets = dict.fromkeys(c.target for c in cells if c.target != DEPLOY)
    summary = StudySummary(
        name=study.name,
        protocol=study.protocol[0],
        data_location=study.data or "the demo's",
        data_fingerprint=info.data_fingerprint,
        domains=tuple(targets),
        methods=study.methods,
        seeds=study.fit_seeds,
        trials_per_cell=study.trials,
        objectives=study.objectives,
        constraints=study.constraints,
        num_references=study.num_references,
        features=to_dict(study.features),
        command=info.command,
        started_at=info.started_at,
        wall_s=found.elapsed_s,
        versions=current_versions(),
        device="",
        cells=cells,
        fits_computed=found.fits.computed,
        fits_reused=found.fits.shared,
    )
    return summary, _standing(found)


def _standing(found: StudyStatus) -> str:
    what = "is still running" if found.process is not None else f"was {found.state} before its end"
    return (
        f"The study {what}: {found.done} of {found.planned} trials have ended and"
        f" {found.refits_done} of {found.refits_planned or 'the'} results on surfaces held out are there, so"
        " these figures will change."
    )


def _cell(
    name: str, trials: Sequence[TrialSummary], ledger: Sequence[Mapping[str, Any]], records: RecordStore
) -> CellSummary:
    label, _, target = name.rpartition("@")
    method, bracket, protocol = label.partition(" [")
    own = [e for e in ledger if e["cell"] == name]
    seal = next((e["detail"] for e in own if e["purpose"] == "seal" and e["detail"]), {})
    return CellSummary(
        method=method,
        target=target,
        protocol=protocol.removesuffix("]") if bracket else ("nested" if trials else "fixed"),
        selected=dict(seal.get("settings", {})),
        inner_score=seal.get("inner_score"),
        trials=tuple(trials),
        # A name that no record has: without any, other cells' records would be taken for its own.
        record_ids=_results(own, records) or ("",),
    )


def _results(entries: Sequence[Mapping[str, Any]], records: RecordStore) -> tuple[str, ...]:
    """The first record of every fit that was scored on the target; those with other numbers of references
    come after it."""
    by_fit: dict[str, str] = {}
    for entry in entries:
        record = records.read(entry["record_id"]) if entry["purpose"] == "outer" else None
        if record is not None:
            by_fit.setdefault(record.fit.id, record.record_id)
    return tuple(by_fit.values())


def _trials(folder: Path, cell_name: str) -> tuple[TrialSummary, ...]:
    import optuna  # slow, and a finished study needs none of it
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    from tune.quiet import quiet_optuna

    quiet_optuna()
    storage = JournalStorage(JournalFileBackend(str(journal_path(folder / "optuna", cell_name))))
    try:
        study = optuna.load_study(study_name=cell_name, storage=storage)
    except KeyError:  # begun this moment
        return ()
    return trial_summaries(study)


def _ledger(folder: Path) -> list[Mapping[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted((folder / "ledger").glob("*.json"))]
