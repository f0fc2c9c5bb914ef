"""What follows a simulated search: seals, refits, summary, report and audit, each timed."""

import time
from collections.abc import Iterator, Sequence

from simulated_fits import SCORING_S, seconds_of
from simulated_search import SimulatedSearch

from dgad.report.page import write_report
from tune.fits.run import Run
from tune.results.audit import audit
from tune.results.summarise import summarise
from tune.run_folder.folder import RunInfo
from tune.search.seal import RefitJob, is_done, list_used_after_seals, plan_refits, seal_selections
from tune.study.cell_id import DEPLOY
from tune.study.cells import Cell


def finish(run: Run, cells: Sequence[Cell], search: SimulatedSearch) -> dict[str, float | int]:
    """Seconds by step; every searched cell is sealed, and every winner refitted in simulated time."""
    steps: dict[str, float | int] = {}
    began = time.perf_counter()

    def passed(name: str) -> None:
        nonlocal began
        steps[f"{name}, s"] = time.perf_counter() - began
        began = time.perf_counter()

    rows = seal_selections(cells, search.searcher.trials(), search.ledger)
    passed("seals")
    used = list_used_after_seals(search.ledger.entries())
    jobs = [job for job in plan_refits(run, rows) if not is_done(search.bench, job, used)]
    passed("plan of refits")
    steps["refits"] = len(jobs)
    num_before = len(search.computed)
    for job in jobs:
        search.clock.start(_refit(search, job))
    search.clock.run()
    passed("refits")
    steps["of them computed"] = len(search.computed) - num_before
    # The bundle holds weights, and nothing was trained.
    shown = [row for row in rows if row.target != DEPLOY]
    info = RunInfo(data_fingerprint=run.data_fingerprint, code_version=run.code_version, command="simulated")
    summary = summarise(run, info, shown, search.bench, {}, num_requests=0, not_applicable={})
    passed("summary")
    write_report(run.folder)
    passed("report")
    found = audit(run.folder)
    passed("audit")
    steps["breaches"] = len(found.breaches)
    steps["records"] = found.num_records
    steps["fits of the summary"] = summary.fits_computed
    return steps


def _refit(search: SimulatedSearch, job: RefitJob) -> Iterator[float]:
    """As `tune.search.refit.OuterWorker` does."""
    row, run, bench = job.row, search.run, search.bench
    assert row.selection is not None
    key = run.fit_key(row.method, row.selection.settings, row.sources, seed=job.seed)
    search.ledger.append(row.name, "fit", domains=key.sources, detail={"fit": key.id})
    yield from search.fit(key, worker=f"refit of {row.name}")
    if row.target == DEPLOY:
        return
    record_id = bench.record_id(key, row.target)
    search.ledger.append(row.name, "outer", domains=(row.target,), record_id=record_id)
    yield SCORING_S
    fit_s = seconds_of(key, search.median_fit_s)
    bench.finish(key, row.target, label=row.label, role="outer", fit_s=fit_s)
