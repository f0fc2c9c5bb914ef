"""After the search: winners are refitted and scored on their targets, once, on Ray."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import ray

from dgad.errors import DgadError, TrainingError
from dgad.records import FitKey
from dgad.report.examples import write_examples
from tune.fits.coordinator import open_ledger
from tune.fits.executor import FitExecutor
from tune.fits.run import Run
from tune.monitoring.progress import FitEnd, Progress
from tune.search.seal import RefitJob, SealedRow
from tune.search.selection import LeakError
from tune.search.workers import Workers
from tune.study.cell_id import DEPLOY

MAX_WORKER_DEATHS = 2


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RefitResult:
    """What became of a refit and of its scoring on the target."""

    job: RefitJob
    record_id: str | None
    image_auroc: float | None
    error: str | None
    fit: FitEnd


def run_refits(
    run: Run, jobs: Sequence[RefitJob], workers: Workers, progress: Progress
) -> tuple[RefitResult, ...]:
    """Run the jobs on Ray, in any order; a failed one is a result too."""
    # Typed as plain: Ray takes `None` for no memory, and its stubs do not know methods of such an actor.
    worker_class: Any = ray.remote(
        num_cpus=workers.cpus_each,
        num_gpus=workers.gpus_each,
        memory=workers.memory_bytes_each or None,  # type: ignore[arg-type]
        max_restarts=MAX_WORKER_DEATHS,
    )(RefitWorker)
    left = list(reversed(jobs))
    actors = [
        worker_class.options(max_task_retries=MAX_WORKER_DEATHS).remote(run)
        for _ in range(min(_room(workers), len(jobs)))
    ]
    busy = {actor.run.remote(left.pop()): actor for actor in actors}
    results = []
    try:
        while busy:
            (done, *_), _ = ray.wait(list(busy), num_returns=1)
            actor = busy.pop(done)
            result = ray.get(done)
            if left:
                busy[actor.run.remote(left.pop())] = actor
            else:  # where a node was lost, the worker begun again for it may wait for this one's place
                ray.kill(actor)
            results.append(result)
            progress.end_fit(result.fit)
            progress.end_job(len(results), len(jobs), _describe(result))
    except ray.exceptions.RayError as error:
        if isinstance(cause := getattr(error, "cause", None), OSError | DgadError):
            raise cause from None  # a full disk, say, told as it is where no worker stands between
        raise TrainingError(f"A worker broke off {MAX_WORKER_DEATHS + 1} times: {error}") from error
    finally:
        for actor in busy.values():
            ray.kill(actor)
    return tuple(results)


def _room(workers: Workers) -> int:
    """Workers that Ray has room for at this moment."""
    if not workers.is_elastic:
        return workers.count
    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return max(1, min(int(there.get(name, 0) / each) for name, each in workers.ray_resources.items()))


def _describe(result: RefitResult) -> str:
    """Say in one line what became of a refit, for logs and displays."""
    row, seed = result.job.row, result.job.seed
    if result.error:
        return f"{row.name} seed {seed} failed: {result.error}"
    label = row.id.title
    if row.target == DEPLOY:
        return f"{label} is ready for the bundle"
    auroc = "not defined" if result.image_auroc is None else f"{result.image_auroc:.3f}"
    return f"{label} on {row.target}, seed {seed}: image AUROC {auroc}"


class RefitWorker:
    """A Ray actor that refits and scores; keeps data and frozen features for its lifetime."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._executor = FitExecutor(run)
        self._ledger = open_ledger(run)

    def run(self, job: RefitJob) -> RefitResult:
        """Refit a sealed choice and score it on its target; `LeakError` for a row that is not sealed."""
        row, bench = job.row, self._executor
        if row.selection is None or not self._is_sealed(row):
            raise LeakError(f"{row.name} is not sealed, so its target must not be looked at.")
        key = self._run.fit_key(row.method, row.selection.settings, row.sources, seed=job.seed)
        self._ledger.append(row.name, "fit", domains=key.sources, detail={"fit": key.id})
        if row.target == DEPLOY:
            started = time.perf_counter()
            error = bench.try_fit(key)
            fit = self._fit_end(key, error, time.perf_counter() - started)
            return RefitResult(job=job, record_id=None, image_auroc=None, error=error, fit=fit)
        record_id = bench.record_id(key, row.target)
        self._ledger.append(row.name, "outer", domains=(row.target,), record_id=record_id)
        if job.with_examples:
            record, scores = bench.score(key, row.target, label=row.label, role="outer")
            if scores is not None:
                target = bench.target(row.target, key)
                write_examples(
                    bench.store, target, scores, label=row.label, samples=bench.samples(row.target)
                )
        else:
            record = bench.record(key, row.target, label=row.label, role="outer")
        error = record.error
        for count in self._run.study.reference_counts:
            more_id = bench.record_id(key, row.target, count)
            if error or more_id == record_id:
                continue
            self._ledger.append(
                row.name,
                "outer",
                domains=(row.target,),
                record_id=more_id,
                detail={"num_references": count},
            )
            error = bench.record(key, row.target, label=row.label, role="outer", num_references=count).error
        return RefitResult(
            job=job,
            record_id=record.record_id,
            image_auroc=record.metrics.image_auroc,
            error=error,
            fit=self._fit_end(key, record.error, record.fit_s),
        )

    def _is_sealed(self, row: SealedRow) -> bool:
        """By the one entry: a worker that read the whole ledger for it would read it for every other too."""
        seal = None if row.seal_sequence is None else self._ledger.entry(row.seal_sequence)
        return seal is not None and (seal.cell, seal.purpose) == (row.name, "seal")

    def _fit_end(self, key: FitKey, error: str | None, fit_s: float | None) -> FitEnd:
        if error:
            return FitEnd(outcome="failed")
        if key.id not in self._executor.fits.computed:
            return FitEnd(outcome="shared")
        return FitEnd(outcome="computed", fit_s=fit_s)
