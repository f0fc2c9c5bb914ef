"""Rows of the leaderboard: each cell's sealed choice, what is shown beside it, the refits they need."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dgad.methods import SHOWN_BESIDE, parse_method
from dgad.report.examples import CAPTIONS_FILE, FOLDER_NAME
from dgad.report.summary import TrialSummary
from dgad.settings import to_dict
from tune.fits.executor import FitExecutor
from tune.fits.run import Run
from tune.run_folder.ledger import Entry, Ledger
from tune.search.selection import Selection, select
from tune.study.cell_id import DEPLOY, CellId
from tune.study.cells import Cell
from tune.study.objectives import Constraint

UNTRAINED = "comparer:untrained"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SealedRow:
    """One row of the leaderboard on one target: a cell, or a method shown beside it."""

    label: str
    target: str
    domains: tuple[str, ...]
    selection: Selection | None
    """None where no trial of the cell could win."""
    trials: tuple[TrialSummary, ...] = ()
    protocol: str = "fixed"
    """How the settings were chosen; `fixed` where nothing was."""
    seal_sequence: int | None = None
    """Where in the ledger the seal is, so that whoever scores the target need not look for it."""

    @property
    def id(self) -> CellId:
        """What names the row; a cell's row has the cell's."""
        return CellId.of(self.label, self.protocol, self.target)

    @property
    def name(self) -> str:
        """The text of `id`, as the ledger carries it."""
        return str(self.id)

    @property
    def method(self) -> str:
        """The method's registry name, without preset."""
        return self.id.method

    @property
    def sources(self) -> tuple[str, ...]:
        """Every domain but the target."""
        return tuple(d for d in self.domains if d != self.target)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RefitJob:
    """One refit, scored on the target unless that is `deploy`."""

    row: SealedRow
    seed: int
    with_examples: bool


def seal_selections(
    cells: Sequence[Cell],
    trials: Mapping[str, tuple[TrialSummary, ...]],
    ledger: Ledger,
    *,
    objectives: Sequence[str] = ("image_auroc",),
    bounds: Sequence[Constraint] = (),
    beside: Sequence[str] = SHOWN_BESIDE,
    extra_targets: Sequence[str] = (),
) -> tuple[SealedRow, ...]:
    """Close every cell's selection; what was sealed before stays as it was.

    Winners of `deploy`, which are fitted on all of the study's domains, get a row on each extra target.

    A cell without a winner is closed too, and opened again if a retried trial gives it one: nothing of its
    target was read. `beside` names the methods that stand in the table whatever was searched.
    """
    rows = []
    sealed = ledger.seals()
    for cell in cells:
        own = trials.get(cell.name, ())
        kept = sealed.get(cell.name)
        if kept is not None and kept.detail:
            selection: Selection | None = Selection(**kept.detail)
        else:
            selection = select(own, objectives, bounds) if cell.settings is None else _as_given(cell.settings)
            if kept is None or selection is not None:
                kept = ledger.append(
                    cell.name, "seal", detail=dataclasses.asdict(selection) if selection else {}
                )
        rows.append(
            SealedRow(
                label=cell.label,
                target=cell.target,
                domains=cell.domains,
                selection=selection,
                trials=own,
                protocol=cell.protocol if cell.num_trials else "fixed",
                seal_sequence=kept.sequence,
            )
        )
    rows += [
        dataclasses.replace(row, target=target, domains=(*row.domains, target), trials=())
        for target in extra_targets
        for row in rows
        if row.target == DEPLOY
    ]
    rows += [row for row in _beside(rows, beside) if row.name not in {r.name for r in rows}]
    for i, row in enumerate(rows[len(cells) :], start=len(cells)):
        kept = sealed.get(row.name)
        if kept is None and row.selection is not None:
            kept = ledger.append(row.name, "seal", detail=dataclasses.asdict(row.selection))
        rows[i] = dataclasses.replace(row, seal_sequence=None if kept is None else kept.sequence)
    return tuple(rows)


def _as_given(settings: Mapping[str, Any]) -> Selection:
    return Selection(settings=dict(settings), trial=None, inner_score=None)


def _beside(rows: Sequence[SealedRow], labels: Sequence[str]) -> Iterator[SealedRow]:
    """On every target: the winner untrained, and the methods that need no training."""
    for target in dict.fromkeys(r.target for r in rows if r.target != DEPLOY):
        own = [r for r in rows if r.target == target]
        # Rows come protocol by protocol, the study's own first, and so its winner.
        for label in labels:
            selection: Selection | None = _as_given(to_dict(parse_method(label)[2]))
            if label == UNTRAINED:
                winner = next((r.selection for r in own if r.method == "comparer"), None)
                selection = winner and dataclasses.replace(
                    winner, settings={**winner.settings, "num_steps": 0}, inner_score=None
                )
            if selection is not None:
                yield SealedRow(label=label, target=target, domains=own[0].domains, selection=selection)


def plan_refits(run: Run, rows: Sequence[SealedRow]) -> tuple[RefitJob, ...]:
    """Every row with every seed; `deploy` once; pictures for the first row of a target."""
    jobs = []
    pictured: set[str] = set()
    for row in rows:
        if row.selection is None:
            continue
        for seed in run.study.fit_seeds[:1] if row.target == DEPLOY else run.study.fit_seeds:
            first = row.target != DEPLOY and row.target not in pictured
            pictured.add(row.target)
            jobs.append(RefitJob(row=row, seed=seed, with_examples=first))
    return tuple(jobs)


def list_used_after_seals(entries: Sequence[Entry]) -> frozenset[tuple[str, str]]:
    """(cell, id) of every fit and record that a cell has used since its choice was sealed."""
    sealed: set[str] = set()
    used = set()
    for entry in entries:
        if entry.purpose == "seal":
            sealed.add(entry.cell)
        elif entry.cell in sealed:
            used.add((entry.cell, str(entry.record_id or entry.detail.get("fit"))))
    return frozenset(used)


def is_done(executor: FitExecutor, job: RefitJob, used: frozenset[tuple[str, str]]) -> bool:
    """Whether an earlier run has finished the job, and the ledger (`used_after_seals`) says so too."""
    assert job.row.selection is not None
    key = executor.run.fit_key(job.row.method, job.row.selection.settings, job.row.sources, seed=job.seed)
    if job.row.target == DEPLOY:
        # The search may have made the same fit, for its own ends.
        return (job.row.name, key.id) in used and executor.fits.has(key.id)
    captions = f"{FOLDER_NAME}/{job.row.target}/{CAPTIONS_FILE}"
    has_pictures = not job.with_examples or executor.store.exists(captions)
    return has_pictures and all(
        (record := executor.records.read(record_id)) is not None
        and record.status == "ok"
        and (job.row.name, record_id) in used
        for record_id in (
            executor.record_id(key, job.row.target, count)
            for count in (None, *executor.run.study.reference_counts)
        )
    )
