"""The summary of a study that has not ended, from its folder alone: journals, ledger and records."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dgad.errors import RecordError
from dgad.provenance import current_versions
from dgad.records import Record, RecordStore
from dgad.report.summary import CellSummary, StudySummary, read_summary
from dgad.settings import to_dict
from tune.results.importance import estimate_importance
from tune.run_folder.folder import RunInfo, read_info, read_study
from tune.run_folder.journals import journal_cells, load_journal
from tune.run_folder.layout import JOURNALS_FOLDER, LEDGER_FOLDER, RECORDS_FOLDER, SUMMARY_FILE
from tune.run_folder.process import read_ended
from tune.run_folder.status import StudyStatus, read_status
from tune.search.selection import find_front, summarise_trials
from tune.study.cell_id import DEPLOY
from tune.study.settings import Study

Entries = Sequence[Mapping[str, Any]]
"""Of the ledger, as its files hold them: one that grows may be listed with a gap, which `Ledger` refuses."""


def read_current_summary(folder: Path) -> tuple[StudySummary, str]:
    """(summary, what a reader must know of it): the study's own once it has ended, else what is there so far.

    Takes no lock and may be asked while the study writes. `RecordError` for a study that has not begun.
    """
    found, ended = read_status(folder), read_ended(folder)
    if found.process is None and (folder / SUMMARY_FILE).is_file():
        broke_off = ended is not None and ended.outcome != "finished"
        told = f"A later run of the study broke off ({found.state}): this is how it stood before."
        return read_summary(folder), told if broke_off else ""
    study, info = read_study(folder), read_info(folder)
    if study is None or info is None:
        raise RecordError(f"{folder} holds no study that has begun: there is nothing to report yet.")
    ledger = [json.loads(path.read_bytes()) for path in sorted((folder / LEDGER_FOLDER).glob("*.json"))]
    records = {r.record_id: r for r in RecordStore(folder / RECORDS_FOLDER).records()}
    searched = {name: _searched(folder, name, study) for name in journal_cells(folder / JOURNALS_FOLDER)}
    names = dict.fromkeys([*searched, *(e["cell"] for e in ledger if e["purpose"] == "seal")])
    cells = tuple(
        _cell(name, searched.get(name, {}), [e for e in ledger if e["cell"] == name], records)
        for name in names
    )
    any_record = next(iter(records.values()), None)
    summary = StudySummary(
        name=study.name,
        protocol=study.protocol[0],
        data_location=study.data or "the demo's",
        data_fingerprint=info.data_fingerprint,
        domains=_domains(cells, records.values(), info),
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
        versions=dict(any_record.versions) if any_record else current_versions(),
        device=any_record.device if any_record else "",
        cells=cells,
        fits_computed=found.fits.computed,
        fits_reused=found.fits.shared,
        extra_location=study.extra_targets or "",
        extra_fingerprint=info.extra_fingerprint,
        extra_targets=info.extra_targets,
    )
    return summary, _standing(found)


def _standing(found: StudyStatus) -> str:
    what = f"was {found.state} before its end"
    if found.process is not None:
        where = f", as far as can be told from here, on {found.process.host}" if found.is_elsewhere else ""
        what = f"is still running{where}"
    return (
        f"The study {what}: {found.done} of {found.planned} trials have ended and"
        f" {found.refits_done} of {found.refits_planned or 'the'} refits and scorings are there, so these"
        " figures will change."
    )


def _domains(cells: Sequence[CellSummary], records: Iterable[Record], info: RunInfo) -> tuple[str, ...]:
    """The study's own, as far as anything was done with them."""
    named = {c.target for c in cells} | {d for c in cells for t in c.trials for d in t.inner_scores}
    named |= {d for r in records for d in (r.target, *r.fit.sources)}
    return tuple(sorted(named - {DEPLOY} - set(info.extra_targets)))


def _searched(folder: Path, name: str, study: Study) -> dict[str, Any]:
    """What a cell's journal tells of its search."""
    journal = load_journal(folder / JOURNALS_FOLDER, name)
    if journal is None:
        return {}
    trials = summarise_trials(journal)
    return {
        "trials": trials,
        "front": find_front(trials, study.objectives, study.bounds),
        "importance": estimate_importance(journal, seed=study.seed),
    }


def _cell(
    name: str, searched: Mapping[str, Any], entries: Entries, records: Mapping[str, Record]
) -> CellSummary:
    """`entries` are the cell's own."""
    label, _, target = name.rpartition("@")
    method, bracket, protocol = label.partition(" [")
    seals = [e["detail"] for e in entries if e["purpose"] == "seal" and e["detail"]]
    seal: Mapping[str, Any] = seals[0] if seals else {}
    ids: dict[str, dict[str, str]] = {}
    for entry in entries:
        record = records.get(entry["record_id"]) if entry["purpose"] == "outer" else None
        if record is not None:
            ids.setdefault(entry["detail"].get("num_references", ""), {})[record.fit.id] = record.record_id
    more = {asked: tuple(by_fit.values()) for asked, by_fit in ids.items() if asked}
    return CellSummary(
        method=method,
        target=target,
        protocol=protocol.removesuffix("]") if bracket else ("nested" if searched else "fixed"),
        selected=dict(seal.get("settings", {})),
        inner_score=seal.get("inner_score"),
        record_ids=tuple(ids.get("", {}).values()),
        more_record_ids=more,
        **searched,
    )
