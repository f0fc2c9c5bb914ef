"""`dgad-tune launch`: check, search, seal, score, bundle, report."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from cluster.connect import ClusterRay
from cluster.embedded import LocalRay
from dgad.provenance import utc_now
from dgad.report.page import write_report
from dgad.report.summary import StudySummary, TrialSummary
from tune.caches.data import make_local_copy
from tune.fits.coordinator import open_ledger, start_coordinator
from tune.fits.executor import FitExecutor
from tune.fits.run import Run
from tune.launcher.inputs import check_finished, check_unchanged, describe_inputs, read_finished
from tune.launcher.node_check import check_nodes
from tune.launcher.preflight import check_images, find_finest_geometry, plan_matrix
from tune.launcher.ray_runtime import RayTarget, prepare_ray
from tune.launcher.request import Request, resolve_study
from tune.monitoring.launch_log import LogProgress
from tune.monitoring.progress import LiveProgress, PlainProgress, Progress
from tune.monitoring.tee import Tee
from tune.monitoring.trackers import Trackers, check_installed, check_trackers_answer
from tune.results.summarise import summarise
from tune.run_folder.demo_data import keep_demo_data, provide_data
from tune.run_folder.folder import hold_folder, read_info, write_info, write_study
from tune.run_folder.layout import REPORT_FILE
from tune.run_folder.process import RunMark, mark_running, read_running
from tune.search.seal import RefitJob, SealedRow, is_done, list_used_after_seals, plan_refits, seal_selections
from tune.search.selection import summarise_trials
from tune.study.cells import Cell, select_shown_beside
from tune.study.data import open_data


def launch(request: Request, console: Console) -> tuple[Path, StudySummary]:
    """Run a study, or what is left of it, and return its folder and its summary."""
    started = time.monotonic()
    check_installed(request.trackers)
    study, folder, is_begun = resolve_study(request)
    if is_begun and (done := read_finished(folder, retry_failed=request.retry_failed)) is not None:
        console.print(check_finished(request, study, folder), markup=False, highlight=False, soft_wrap=True)
        with request.runs.keep_mirrored(study.name, report=console.print):
            _see_through(folder, study.name)
            return folder, done  # the run that finished it may have been killed before it had sent all
    with prepare_ray(request) as target, provide_data(study, folder) as data:
        here = make_local_copy(data, request.disk_cache)  # read several times from now on
        found = open_data(study, data, request.disk_cache)
        matrix = plan_matrix(study, found.dataset, found.extra_targets)
        if not is_begun and study.data is not None:
            check_images(here, study.layout, study.domains, find_finest_geometry(study))
        if not is_begun and study.extra_targets is not None:
            other = make_local_copy(study.extra_targets, request.disk_cache)
            check_images(other, None, (), find_finest_geometry(study))
        info = describe_inputs(study, found, request.command)
        if is_begun and (before := read_info(folder)) is not None:
            check_unchanged(before, info, study, data)
            info = before
        check_trackers_answer(request.trackers, study.name)
        run = Run(
            folder=folder.absolute(),
            store=request.runs.store(study.name),
            study=study,
            data=data,
            domains=found.domains,
            extra_targets=found.extra_targets,
            extra_fingerprint=info.extra_fingerprint,
            data_fingerprint=info.data_fingerprint,
            code_version=info.code_version,
            weights_sha256=info.weights_sha256,
            searched_weights_sha256=info.searched_weights_sha256,
            device=target.device,
            num_threads=target.workers.threads_each,
            cache_bytes=target.workers.cache_bytes_each,
            disk_cache=request.disk_cache,
            retry_failures_before=utc_now() if request.retry_failed else "",
        )
        if target.cluster is not None:
            console.print(f"{check_nodes(run)} nodes see the data, the storage and this code.")
        with (
            hold_folder(folder, study.name),
            request.runs.keep_mirrored(study.name, report=console.print) as mirror,
            mark_running(folder) as mark,
        ):
            write_study(folder, study)
            write_info(folder, info)
            run = dataclasses.replace(run, data=keep_demo_data(data, study, run.folder))
            with contextlib.ExitStack() as stack:
                try:
                    run, rows, errors = _search_and_score(
                        request, run, matrix.cells, target, mark, console, stack
                    )
                finally:
                    info = dataclasses.replace(info, wall_s=info.wall_s + time.monotonic() - started)
                    write_info(folder, info)
                if mirror is not None:
                    mirror.fetch_results()
                summary = summarise(
                    run,
                    info,
                    rows,
                    FitExecutor(dataclasses.replace(run, device=target.own_device)),
                    errors,
                    num_requests=_num_requests(run, rows),
                    not_applicable=matrix.not_applicable,
                )
            write_report(folder)
    return folder, summary


def _search_and_score(
    request: Request,
    run: Run,
    cells: Sequence[Cell],
    target: RayTarget,
    mark: RunMark,
    console: Console,
    stack: contextlib.ExitStack,
) -> tuple[Run, tuple[SealedRow, ...], dict[str, str]]:
    """Everything between the checks and the summary; what must live until then is left in `stack`."""
    with _progress(cells, console) as shown:
        mark.log.line(f"Run begins: {request.command}")
        progress: Progress = Tee(shown, LogProgress(mark.log, shown.board))
        ray_running: contextlib.AbstractContextManager[LocalRay | ClusterRay] = target.start()
        if target.cluster is not None or request.runs.is_remote:
            ray_running = contextlib.nullcontext(stack.enter_context(ray_running))
            run = dataclasses.replace(
                run, coordinator=stack.enter_context(start_coordinator(run.study.name, run.ledger_location))
            )
        again = _open_cells(run, cells, progress) if request.retry_failed else ()
        rows, errors = _work(
            run, cells, target, ray_running, progress, mark, request.trackers, retry_failed=again
        )
    return run, rows, errors


def _see_through(folder: Path, name: str) -> None:
    """What a run that was killed after it had written the summary left undone: the report, and its mark."""
    if read_running(folder) is not None or not (folder / REPORT_FILE).is_file():
        with hold_folder(folder, name), mark_running(folder):
            write_report(folder)


def _open_cells(run: Run, cells: Sequence[Cell], progress: Progress) -> tuple[str, ...]:
    """The cells whose failed trials may be tried again.

    One that has a winner keeps it: its target has been looked at since, so its choice is over.
    """
    chosen = {e.cell for e in open_ledger(run).entries() if e.purpose == "seal" and e.detail}
    again = tuple(c.name for c in _searched(cells) if c.name not in chosen)
    closed = sum(
        t.status == "failed" for name, ts in _trials(run, cells).items() if name in chosen for t in ts
    )
    kept = f" {closed} failed trials stay: their cells have chosen since." if closed else ""
    progress.begin_phase(f"Trying again what failed; {len(again)} cells are still open.{kept}")
    return again


def _work(
    run: Run,
    cells: Sequence[Cell],
    target: RayTarget,
    ray_running: contextlib.AbstractContextManager[LocalRay | ClusterRay],
    progress: Progress,
    mark: RunMark,
    trackers: Trackers,
    *,
    retry_failed: Sequence[str] = (),
) -> tuple[tuple[SealedRow, ...], dict[str, str]]:
    """Search, seal, refit and score what is left; (rows, why a row has no result by its name)."""
    from tune.monitoring.prometheus import StudyMetrics
    from tune.search.experiment import search  # Ray takes seconds to import, and is not always needed
    from tune.search.refit import run_refits
    from tune.search.searcher import MatrixSearcher

    searcher = MatrixSearcher(
        cells,
        run.journals_folder,
        spaces=run.study.space_settings,
        seed=run.study.seed,
        sampler=run.study.sampler,
        early_stopping=run.study.early_stopping,
        objectives=run.study.objectives,
        bounds=run.study.bounds,
        retry_failed=retry_failed,
    )
    for cell_name, trials in searcher.trials().items():
        progress.board.restore(cell_name, trials)
    if searcher.num_left == 0:
        rows, jobs = _seal_and_plan(run, cells, searcher.trials(), target)
        if not jobs:
            return rows, {}
    workers = target.workers
    with ray_running as ray_there:
        progress = Tee(progress, StudyMetrics(run.study.name, progress.board))
        if ray_there.dashboard_url:
            mark.show_dashboard(ray_there.dashboard_url)
            progress.begin_phase(f"Ray dashboard: {ray_there.dashboard_url} ({_how_to_enter(ray_there)})")
        if searcher.num_left > 0:
            progress.begin_phase(
                f"Searching {len(_searched(cells))} cells, {searcher.num_left} trials to go,"
                f" on {workers.count} workers."
            )
            search(run, cells, searcher, workers, progress, trackers)
        rows, jobs = _seal_and_plan(run, cells, searcher.trials(), target)
        if not jobs:
            return rows, {}
        progress.begin_phase(f"Selections sealed; {len(jobs)} refits and scorings to go.")
        results = run_refits(run, jobs, workers, progress)
    return rows, {r.job.row.name: r.error for r in results if r.error}


def _how_to_enter(ray_there: LocalRay | ClusterRay) -> str:
    if isinstance(ray_there, LocalRay):
        return f"it asks for the token in {ray_there.token_file}"
    return "as the head sees it; it asks for the cluster's token"


def _seal_and_plan(
    run: Run, cells: Sequence[Cell], trials: Mapping[str, tuple[TrialSummary, ...]], target: RayTarget
) -> tuple[tuple[SealedRow, ...], tuple[RefitJob, ...]]:
    """Every cell's sealed choice, and the refits that are still to be done."""
    ledger, bench = open_ledger(run), FitExecutor(dataclasses.replace(run, device=target.own_device))
    rows = seal_selections(
        cells,
        trials,
        ledger,
        objectives=run.study.objectives,
        bounds=run.study.bounds,
        beside=select_shown_beside(run.study),
        extra_targets=run.extra_targets,
    )
    used = list_used_after_seals(ledger.entries())
    return rows, tuple(job for job in plan_refits(run, rows) if not is_done(bench, job, used))


def _trials(run: Run, cells: Sequence[Cell]) -> dict[str, tuple[TrialSummary, ...]]:
    """The finished trials of every searched cell."""
    from tune.search.searcher import open_study

    return {
        cell.name: summarise_trials(
            open_study(run.journals_folder, cell.name, seed=run.study.seed, objectives=run.study.objectives)
        )
        for cell in _searched(cells)
    }


def _searched(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    return tuple(c for c in cells if c.num_trials > 0)


def _num_requests(run: Run, rows: Sequence[SealedRow]) -> int:
    """Fits that were asked for, shared or not."""
    inner = sum(len(t.inner_scores) + (t.status == "failed") for row in rows for t in row.trials)
    return inner + len(plan_refits(run, rows))


@contextlib.contextmanager
def _progress(cells: Sequence[Cell], console: Console) -> Iterator[Progress]:
    if not console.is_terminal:
        yield PlainProgress(cells, console)
        return
    with LiveProgress(cells, console) as live:
        yield live
