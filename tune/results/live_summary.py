"""The summary of a study that has not ended, from its folder alone: journals, ledger and records."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dgad.errors import RecordError
from dgad.provenance import current_versions
from dgad.records import Record, RecordStore
from dgad.report.summary import CellSummary, StudySummary, TrialSummary, read_summary
from tune.results.summary_builder import StudyFacts, StudyFits, build_cell_summary, build_summary
from tune.run_folder.folder import RunInfo, read_info, read_study
from tune.run_folder.journals import list_journal_cells, load_journal
from tune.run_folder.layout import JOURNALS_FOLDER, LEDGER_FOLDER, RECORDS_FOLDER, SUMMARY_FILE
from tune.run_folder.ledger import Entry, read_growing_ledger
from tune.run_folder.process import read_ended
from tune.run_folder.status import StudyStatus, read_status
from tune.search.selection import summarise_trials
from tune.study.cell_id import DEPLOY, CellId
from tune.study.settings import Study


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
    ledger = read_growing_ledger(folder / LEDGER_FOLDER)
    records = {r.record_id: r for r in RecordStore(folder / RECORDS_FOLDER).records()}
    journals = folder / JOURNALS_FOLDER
    searched = {name: _read_trials(journals, name) for name in list_journal_cells(journals)}
    names = dict.fromkeys([*searched, *(e.cell for e in ledger if e.purpose == "seal")])
    cells = tuple(
        _summarise_cell(
            name,
            study,
            journals,
            searched.get(name),
            [e for e in ledger if e.cell == name],
            records,
        )
        for name in names
    )
    any_record = next(iter(records.values()), None)
    facts = StudyFacts(
        data_location=study.data or "the demo's",
        domains=_domains(cells, records.values(), info),
        cells=cells,
        fits=StudyFits(computed=found.fits.computed, reused=found.fits.shared),
        wall_s=found.elapsed_s,
        versions=any_record.versions if any_record else current_versions(),
        device=any_record.device if any_record else "",
    )
    return build_summary(study, info, facts), _standing(found)


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


def _read_trials(journals: Path, name: str) -> tuple[TrialSummary, ...] | None:
    """What a cell's journal tells of its finished trials; None where it has only just been begun."""
    journal = load_journal(journals, name)
    return None if journal is None else summarise_trials(journal)


def _summarise_cell(
    name: str,
    study: Study,
    journals: Path,
    trials: Sequence[TrialSummary] | None,
    entries: Sequence[Entry],
    records: Mapping[str, Record],
) -> CellSummary:
    """`entries` are the cell's own; `trials` is None where it is not searched."""
    cell = CellId.parse(name)
    seals = [e.detail for e in entries if e.purpose == "seal" and e.detail]
    seal: Mapping[str, Any] = seals[0] if seals else {}
    ids: dict[str, dict[str, str]] = {}
    for entry in entries:
        record = records.get(entry.record_id or "") if entry.purpose == "outer" else None
        if record is not None:
            ids.setdefault(entry.detail.get("num_references", ""), {})[record.fit.id] = record.record_id
    return build_cell_summary(
        cell,
        study,
        journals,
        protocol="fixed" if trials is None and cell.protocol == "nested" else cell.protocol,
        trials=trials or (),
        selected=seal.get("settings", {}),
        inner_score=seal.get("inner_score"),
        record_ids=tuple(ids.get("", {}).values()),
        more_record_ids={asked: tuple(by_fit.values()) for asked, by_fit in ids.items() if asked},
    )
