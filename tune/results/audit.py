"""`dgad-tune audit`: whether any cell saw a label of its target before its choice was sealed.

The ledger says what was read and when; records, fits and Optuna journals say what was done with it. Each is
checked against the others, so that a read that was never entered shows as well as one that came too early.
"""

import dataclasses
import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from dgad.errors import RecordError
from dgad.records import Record, RecordStore
from tune.fits.run import read_fit_features
from tune.fits.store import FitStore
from tune.quiet import quiet_optuna
from tune.run_folder.folder import read_info, read_study
from tune.run_folder.journals import list_journal_cells
from tune.run_folder.layout import (
    FITS_FOLDER,
    JOURNALS_FOLDER,
    LEDGER_FOLDER,
    RECORDS_FOLDER,
    SCORES_KEY,
    SHARED_FOLDER,
)
from tune.run_folder.ledger import Entry, Ledger, find_leaks
from tune.search.searcher import open_study
from tune.search.selection import summarise_trials
from tune.spaces.features import split_configuration
from tune.study.cell_id import DEPLOY, CellId
from tune.study.objectives import read_value
from tune.study.settings import Study


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """What was looked at, and what was found."""

    num_entries: int
    num_records: int
    num_cells: int
    num_unseen_fits: int
    """Fits in the ledger that neither a record nor the fit store knows any more."""
    oracles: tuple[str, ...]
    """Cells that chose on their target, as their protocol says."""
    breaches: tuple[str, ...]
    """One sentence each; none is a clean audit."""


def audit(folder: Path) -> Audit:
    """Check a run folder; `RecordError` where the ledger or a record is missing or damaged."""
    quiet_optuna()
    entries = Ledger(folder / LEDGER_FOLDER).entries()
    if not entries:
        raise RecordError(f"{folder} has no ledger: nothing has been fitted or judged in it.")
    study = read_study(folder)
    if study is None:
        raise RecordError(f"{folder} has no study.yaml: it is no study of dgad-tune.")
    records = {r.record_id: r for r in RecordStore(folder / RECORDS_FOLDER).records()}
    trained_on = _training_domains(entries, records.values(), folder)
    found = [*find_leaks(entries)]
    found += _reads(entries, records, study)
    found += _fits(entries, trained_on)
    found += _references(records.values())
    found += _splits(records.values())
    found += _extra_targets(entries, info.extra_targets if (info := read_info(folder)) else ())
    found += _journals(entries, records, folder / JOURNALS_FOLDER, study)
    cells = {e.cell for e in entries}
    used = {str(e.detail.get("fit")) for e in entries if e.purpose == "fit"}
    return Audit(
        num_entries=len(entries),
        num_records=len(records),
        num_cells=len(cells),
        num_unseen_fits=len(used - trained_on.keys()),
        oracles=tuple(sorted(c for c in cells if CellId.parse(c).peeks)),
        breaches=tuple(found),
    )


def _training_domains(
    entries: Sequence[Entry], records: Iterable[Record], folder: Path
) -> dict[str, tuple[str, ...]]:
    """What every fit was trained on, by its id: as its records say, else as the fit store does."""
    known = {r.fit.id: r.fit.sources for r in records}
    store = FitStore(folder.parent / SHARED_FOLDER / FITS_FOLDER)
    for entry in entries:
        fit_id = str(entry.detail.get("fit"))
        if (
            entry.purpose == "fit"
            and fit_id not in known
            and (about := store.read_description(fit_id)) is not None
        ):
            known[fit_id] = tuple(about["key"]["sources"])
    return known


def _reads(entries: Sequence[Entry], records: Mapping[str, Record], study: Study) -> Iterator[str]:
    """Every read names a record that is there, tells its domain, and knows nothing of the cell's target."""
    sealed: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        reader = f"Entry {entry.sequence}: {entry.cell}"
        if entry.purpose == "seal":
            sealed[entry.cell] = entry.detail
        if entry.record_id is None:
            continue
        record = records.get(entry.record_id)
        if record is None:
            if entry.purpose == "objective":
                yield f"{reader} was judged by record {entry.record_id}, which is missing."
            continue  # an outer read that broke off before it was scored
        cell = CellId.parse(entry.cell)
        target = cell.target
        if (record.target,) != entry.domains:
            yield f"{reader} says it read {', '.join(entry.domains)}, but the record is of {record.target}."
        if target in record.fit.sources:
            yield f"{reader} used record {record.record_id}, whose fit was trained on the cell's target."
        if entry.purpose == "objective" and record.target == target and not cell.peeks:
            yield f"{reader} was judged by its own target, in record {record.record_id}."
        chosen = sealed.get(entry.cell, {}).get("settings")
        if entry.purpose == "outer" and chosen is not None and not _is_as_sealed(chosen, record, study):
            yield f"{reader} was scored with other settings than those it had sealed."


def _is_as_sealed(chosen: Mapping[str, Any], record: Record, study: Study) -> bool:
    settings, of_features = split_configuration(chosen)
    if settings != dict(record.fit.settings):
        return False
    return not of_features or study.split(chosen)[1] == read_fit_features(record.fit)


def _fits(entries: Sequence[Entry], trained_on: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """A fit was trained on the domains that the ledger says, the cell's target not among them."""
    for entry in entries:
        fit_id = str(entry.detail.get("fit"))
        if entry.purpose != "fit" or fit_id not in trained_on:
            continue  # broke off before it was stored
        sources = trained_on[fit_id]
        reader = f"Entry {entry.sequence}: {entry.cell}"
        if sources != entry.domains:
            yield f"{reader} says its fit knows {entry.domains}, but it was trained on {sources}."
        if CellId.parse(entry.cell).target in sources:
            yield f"{reader} used a fit that was trained on its target."


def _references(records: Iterable[Record]) -> Iterator[str]:
    """References are train normals of the scored domain, and none of them is a query."""
    for record in records:
        wrong = [r for r in record.reference_ids if not r.startswith(f"{record.target}/train/good/")]
        if wrong:
            yield f"Record {record.record_id} has the reference {wrong[0]}, no train normal of its target."
        both = set(record.reference_ids) & set(record.sample_ids)
        if both:
            yield f"Record {record.record_id} has {min(both)} both as reference and as query."


def _splits(records: Iterable[Record]) -> Iterator[str]:
    """No fit is judged by images that it was trained on."""
    for record in records:
        if record.target in record.fit.sources and record.fit.split != "half":
            yield f"Record {record.record_id} scores images of {record.target} that its fit was trained on."


def _extra_targets(entries: Sequence[Entry], extra_targets: Collection[str]) -> Iterator[str]:
    """Another data set's labels are read by winners of `deploy` alone, as they were sealed there."""
    sealed = {e.cell: e.detail.get("settings") for e in entries if e.purpose == "seal" and e.detail}
    for entry in entries:
        reader = f"Entry {entry.sequence}: {entry.cell}"
        read = sorted(set(entry.domains) & set(extra_targets))
        if read and (entry.purpose != "outer" or CellId.parse(entry.cell).target not in read):
            yield f"{reader} used labels of {read[0]}, on which winners may only be scored."
    for cell, settings in sealed.items():
        own = CellId.parse(cell)
        deployed = str(dataclasses.replace(own, target=DEPLOY))
        chosen = sealed.get(deployed)
        if own.target in extra_targets and chosen is not None and settings != chosen:
            yield f"{cell} is sealed with other settings than {deployed}."


def _early_stops(cell: str, journal: optuna.Study) -> Iterator[str]:
    """What an early-stopping rule was told are the running means of the trial's own inner folds."""
    for trial in journal.get_trials(deepcopy=False):
        scores = list(json.loads(trial.user_attrs.get(SCORES_KEY, "{}")).values())
        if not scores:
            continue  # failed or left behind: nothing of it was chosen from
        for step, value in trial.intermediate_values.items():
            known = [s for s in scores[:step] if s is not None]
            if step > len(scores) or not known or not math.isclose(value, sum(known) / len(known)):
                yield (
                    f"Trial {trial.number} of {cell} told its early-stopping rule {value:.4g} at fold {step},"
                    " which its inner folds do not account for."
                )


def _journals(
    entries: Sequence[Entry], records: Mapping[str, Record], journals: Path, study: Study
) -> Iterator[str]:
    """Whatever a sampler was told rests on a read that the ledger has, with the value of its record."""
    first = study.objectives[0]
    read: dict[tuple[str, str], set[float]] = {}
    for entry in entries:
        record = records.get(entry.record_id or "")
        if entry.purpose == "objective" and record is not None:
            value = read_value(record, first)
            if value is not None:
                read.setdefault((entry.cell, record.target), set()).add(value)
    for cell in list_journal_cells(journals):
        own = CellId.parse(cell)
        journal = open_study(journals, cell, seed=0, objectives=study.objectives)
        yield from _early_stops(cell, journal)
        for trial in summarise_trials(journal):
            for domain, value in trial.inner_scores.items():
                if domain == own.target and not own.is_deploy and not own.peeks:
                    yield f"Trial {trial.number} of {cell} told its sampler a value of its target."
                elif value is not None and value not in read.get((cell, domain), set()):
                    yield f"Trial {trial.number} of {cell} has a value on {domain} that no read accounts for."
