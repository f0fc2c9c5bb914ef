"""What a finished search leaves behind: the bundle, `summary.json` and the report."""

import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dgad.bundle import read_bundle, write_bundle
from dgad.errors import UserError
from dgad.evaluation.frechet import DomainDistances
from dgad.model_card import model_card
from dgad.provenance import current_versions
from dgad.records import Record
from dgad.report.summary import (
    BundleSummary,
    CellSummary,
    StudySummary,
    read_summary,
    write_summary,
)
from dgad.report.tables import leaderboard, outer_records, read_named_records
from dgad.settings import to_dict
from tune.fits.coordinator import open_ledger
from tune.fits.executor import FitExecutor
from tune.fits.run import Run
from tune.fits.store import FitStore
from tune.results.distances import measure_distances
from tune.results.summary_builder import StudyFacts, StudyFits, build_cell_summary, build_summary
from tune.run_folder.folder import RunInfo
from tune.run_folder.layout import BUNDLE_FOLDER, SUMMARY_FILE
from tune.run_folder.ledger import Ledger
from tune.search.seal import SealedRow
from tune.search.selection import explain_no_winner
from tune.study.cell_id import DEPLOY
from tune.study.cells import find_bundled_label
from tune.study.data import open_data


def summarise(
    run: Run,
    info: RunInfo,
    rows: Sequence[SealedRow],
    executor: FitExecutor,
    errors: Mapping[str, str],
    *,
    num_requests: int,
    not_applicable: Mapping[str, str],
) -> StudySummary:
    """Write the bundle and `summary.json`. `errors` tells why a row gave no result, by its name."""
    study = run.study
    kept = read_summary(run.folder).distances if (run.folder / SUMMARY_FILE).is_file() else None
    facts = StudyFacts(
        data_location=run.data,
        domains=run.domains,
        cells=tuple(_summarise_row(row, run, executor, errors) for row in rows),
        fits=_count_fits(open_ledger(run), executor.fits, study.name, num_requests),
        wall_s=info.wall_s,
        versions=current_versions(),
        device=run.device,
        not_applicable=not_applicable,
        distances=kept or _distances(run, device=executor.run.device),
    )
    summary = build_summary(study, info, facts)
    bundled = find_bundled_label(study)
    deploy = next((r for r in rows if (r.label, r.target) == (bundled, DEPLOY)), None)
    if deploy is not None and deploy.selection is not None and deploy.name not in errors:
        bundle = _write_bundle(run, deploy, summary, executor)
        summary = dataclasses.replace(summary, bundle=bundle)
    write_summary(run.folder, summary)
    return summary


def _read_result_records(summary: StudySummary, executor: FitExecutor) -> tuple[Record, ...]:
    """The records behind the leaderboard."""
    return outer_records(summary, read_named_records(summary, executor.records))


def read_command_line() -> str:
    """The command as typed, with the program's bare name."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _count_fits(ledger: Ledger, fits: FitStore, study: str, num_requests: int) -> StudyFits:
    """Who computed the fits that the ledger names."""
    used = {str(e.detail.get("fit")) for e in ledger.entries() if e.purpose == "fit"}
    known = [found for fit_id in used if (found := fits.read_description(fit_id)) is not None]
    computed = sum(found.get("study") == study for found in known)
    return StudyFits(
        computed=computed, reused=max(0, num_requests - computed), elsewhere=len(known) - computed
    )


def _summarise_row(row: SealedRow, run: Run, executor: FitExecutor, errors: Mapping[str, str]) -> CellSummary:
    selection = row.selection
    keys = []
    if selection is not None and row.target != DEPLOY:
        keys = [
            run.fit_key(row.method, selection.settings, row.sources, seed=seed)
            for seed in run.study.fit_seeds
        ]
    return build_cell_summary(
        row.id,
        run.study,
        run.journals_folder,
        protocol=row.protocol,
        trials=row.trials,
        selected=selection.settings if selection else {},
        inner_score=selection.inner_score if selection else None,
        record_ids=[executor.record_id(key, row.target) for key in keys],
        more_record_ids={
            count: [executor.record_id(key, row.target, count) for key in keys]
            for count in run.study.reference_counts
            if keys
        },
        error=errors.get(row.name) or (None if selection else _why_none(row, run)),
    )


def _why_none(row: SealedRow, run: Run) -> str:
    if row.target in run.extra_targets:
        return f"`{DEPLOY}` has no winner to be scored on it"
    return explain_no_winner(row.trials, run.study.bounds)


def _distances(run: Run, *, device: str) -> DomainDistances | None:
    """None where they cannot be had: a study that is otherwise done does not fail by them."""
    try:
        return measure_distances(run, device=device)
    except UserError as error:
        print(f"Distances between domains are left out: {error}", file=sys.stderr)
        return None


def _write_bundle(run: Run, row: SealedRow, summary: StudySummary, executor: FitExecutor) -> BundleSummary:
    assert row.selection is not None
    key = run.fit_key(row.method, row.selection.settings, row.sources)
    method, fit_s = executor.fitted(key)
    records = _read_result_records(summary, executor)
    label = row.id.title
    own = [r for r in records if r.label == label and r.status == "ok"]
    targets = _metrics_by_target(own)
    comparison = {r.label: r.mean.value if r.mean else None for r in leaderboard(records)}
    expected = comparison.get(label)
    num_references = max((r.num_references for r in own), default=0)
    write_bundle(
        run.folder / BUNDLE_FOLDER,
        method,
        metrics={
            "protocol": row.protocol,
            "expected_image_auroc": expected,
            "by_target": targets,
            "comparison": comparison,
        },
        card=model_card(
            method,
            label=row.label,
            training_domains=key.sources,
            num_references=num_references,
            protocol=row.protocol,
            targets=targets,
            comparison=comparison,
        ),
        provenance={
            "training_domains": list(key.sources),
            "declared": _declared(run, key.sources),
            "study": run.study.name,
            "fit": key.id,
            "fit_s": fit_s,
            "seed": key.seed,
            "data_fingerprint": run.data_fingerprint,
            "code_version": run.code_version,
        },
    )
    bundle = read_bundle(run.folder / BUNDLE_FOLDER)
    return BundleSummary(
        path=BUNDLE_FOLDER,
        bundle_id=bundle.bundle_id,
        method=row.label,
        expected_image_auroc=expected,
        was_trained=bool(key.sources),
    )


def _declared(run: Run, sources: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The scale and the region of interest that training domains state for themselves, by name."""
    dataset = open_data(run.study, run.data, run.disk_cache).dataset
    found: dict[str, dict[str, Any]] = {}
    for name in sources:
        domain = dataset.domain(name)
        region = None if domain.region is None else domain.region.to_json()
        facts = {"scale": domain.scale, "region": region}
        if stated := {fact: value for fact, value in facts.items() if value is not None}:
            found[name] = stated
    return found


def _metrics_by_target(records: Sequence[Record]) -> dict[str, dict[str, float | None]]:
    """Metrics of one method by target, averaged over seeds."""
    found: dict[str, dict[str, float | None]] = {}
    for target in sorted({r.target for r in records}):
        rows = [to_dict(r.metrics) for r in records if r.target == target]
        found[target] = {}
        for name in rows[0]:
            values = [row[name] for row in rows if row[name] is not None]
            found[target][name] = sum(values) / len(values) if values else None
    return found
