"""What a search saves, costs and survives: `python benchmarks/search.py WHAT`.

`components` runs one nested search, its trials in one process, with parts of it on and off: shared fits, the
feature cache (memory and disk), early stopping. The plain loop fits every fold afresh, computes every feature
anew and sees every configuration through. Printed are wall time, the nested AUROC with its standard error
over targets, and each part's factor.
`overhead` searches with trials that cost next to nothing, on Ray: the seconds a trial takes beyond its own
work. `efficiency` runs the same fits on one worker and on two: T1 / (2 T2). `kills` kills the driver or a
worker with SIGKILL at random moments and counts records lost or written twice and finished fits made again.
"""

import argparse
import dataclasses
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from rich.console import Console

from cluster.embedded import inspect_machine, start_embedded_ray
from dgad.domains import open_dataset
from dgad.domains.demo import synthesize
from dgad.records import FitKey, Record
from tune.caches.features import CachePlan
from tune.fits.executor import FitExecutor
from tune.fits.run import Run, compute_code_version
from tune.fits.store import FitStore
from tune.launcher.preflight import plan_matrix
from tune.monitoring.progress import PlainProgress
from tune.monitoring.trackers import Trackers
from tune.results.audit import audit
from tune.run_folder.folder import write_study
from tune.run_folder.layout import SCORES_KEY, VALUES_KEY
from tune.run_folder.ledger import Ledger
from tune.search.seal import plan_refits, seal_selections
from tune.search.searcher import METRIC, MatrixSearcher, open_study
from tune.search.selection import average_values, read_inner_score, summarise_trials
from tune.search.workers import Demand, plan_workers
from tune.study.cell_id import DEPLOY
from tune.study.cells import Cell
from tune.study.settings import Study, make_study

DOMAINS = ("grid", "tile", "woven", "wood", "leather")
GIB = 1024**3


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """What of the search is on."""

    name: str
    shares: bool = False
    caches: bool = False
    stops: bool = False


ARMS = (
    Arm(name="plain loop"),
    Arm(name="shared fits", shares=True),
    Arm(name="feature cache", caches=True),
    Arm(name="early stopping", stops=True),
    Arm(name="all three", shares=True, caches=True, stops=True),
)


class Unshared(FitExecutor):
    """Fits and scores whatever it is asked for, as often as it is asked."""

    def record(self, key: FitKey, target: str, *, label: str, role: str) -> Record:
        """Afresh, whoever has it."""
        with tempfile.TemporaryDirectory() as nowhere:
            self.fits = FitStore(Path(nowhere))
            return self.score(key, target, label=label, role=role)[0]


def run_in(folder: Path, study: Study, *, data: Path, arm: Arm, num_threads: int = 1) -> Run:
    """The run of an arm in a folder of its own, so that nothing is shared between arms."""
    dataset = open_dataset(str(data))
    cache = CachePlan(folder=folder / "features", max_bytes=4 * GIB) if arm.caches else None
    return Run(
        folder=folder / "x",
        store=str(folder / "x"),
        study=study,
        data=str(data),
        domains=tuple(dataset.domains),
        data_fingerprint=dataset.fingerprint(),
        code_version=compute_code_version(),
        device="cpu",
        num_threads=num_threads,
        cache_bytes=GIB if arm.caches else 0,
        disk_cache=cache,
    )


def cells_in(study: Study, data: Path) -> tuple[Cell, ...]:
    """Its searched cells, without `deploy`, which has no nested figure."""
    matrix = plan_matrix(study, open_dataset(str(data)))
    return tuple(c for c in matrix.cells if c.target != DEPLOY and c.num_trials)


def searcher_of(run: Run, cells: Sequence[Cell]) -> MatrixSearcher:
    """As `dgad-tune launch` makes it."""
    study = run.study
    return MatrixSearcher(
        cells,
        run.journals_folder,
        spaces=study.space_settings,
        seed=study.seed,
        sampler=study.sampler,
        early_stopping=study.early_stopping,
    )


def search_here(run: Run, cells: Sequence[Cell], bench: FitExecutor) -> list[float]:
    """A whole search without Ray; the nested AUROC by target."""
    ledger, searcher = Ledger(run.ledger_location), searcher_of(run, cells)
    by_name = {c.name: c for c in cells}
    number = 0
    while isinstance(config := searcher.suggest(str(number)), dict):
        cell, settings, scores = by_name[config["cell"]], json.loads(config["settings"]), []
        for fold in cell.folds:
            key = run.fit_key(cell.method, settings, fold.sources, split=fold.split)
            record = bench.record(key, fold.target, label=cell.label, role="inner")
            scores.append(read_inner_score(cell, record, ledger, run.study.figures))
            means = average_values(scores, run.study.figures)
            result = {
                METRIC: means["image_auroc"],
                SCORES_KEY: json.dumps({s.source: s.values["image_auroc"] for s in scores}),
                VALUES_KEY: json.dumps(means),
                "error": "",
                "done": len(scores) == len(cell.folds),
            }
            if searcher.should_stop(str(number), result):
                break
        searcher.on_trial_complete(str(number), result)
        number += 1
    trials = {
        c.name: summarise_trials(open_study(run.journals_folder, c.name, seed=run.study.seed)) for c in cells
    }
    rows = seal_selections(cells, trials, ledger, beside=())
    found = []
    for job in plan_refits(run, rows):
        assert job.row.selection is not None
        key = run.fit_key(job.row.method, job.row.selection.settings, job.row.sources, seed=job.seed)
        record = bench.record(key, job.row.target, label=job.row.label, role="outer")
        assert record.metrics.image_auroc is not None, record.error
        found.append(record.metrics.image_auroc)
    stopped = sum(t.status == "stopped" for ts in trials.values() for t in ts)
    print(f"  {number} trials, {stopped} stopped early", flush=True)
    return found


def components(data: Path, folder: Path, trials: int, size_px: int, arms: Sequence[Arm]) -> None:
    """One search with each part of it on and off."""
    torch.set_num_threads(1)
    walls: dict[str, float] = {}
    for arm in arms:
        print(arm.name, flush=True)
        study = make_study(
            {
                "name": "x",
                "data": str(data),
                "space": "demo",
                "trials": trials,
                "scale": f"squash {size_px}",
                "num_references": "8",
                "early_stopping": "median" if arm.stops else "none",
            }
        )
        run = run_in(folder / arm.name.replace(" ", "_"), study, data=data, arm=arm)
        bench = (FitExecutor if arm.shares else Unshared)(run)
        started = time.perf_counter()
        aurocs = search_here(run, cells_in(study, data), bench)
        walls[arm.name] = time.perf_counter() - started
        error = statistics.stdev(aurocs) / len(aurocs) ** 0.5
        print(
            f"{arm.name:16} {walls[arm.name]:7.1f} s  {walls[arms[0].name] / walls[arm.name]:5.2f}x"
            f"  nested AUROC {statistics.mean(aurocs):.3f} ± {error:.3f}",
            flush=True,
        )


def search_on_ray(run: Run, cells: Sequence[Cell], num_workers: int) -> tuple[float, float]:
    """(wall seconds of the search, seconds that its trials worked); Ray is running already."""
    from tune.search.experiment import search

    planned = plan_workers(inspect_machine(), "cpu", Demand(workers=num_workers))
    workers = dataclasses.replace(planned, threads_each=run.num_threads)
    searcher = searcher_of(run, cells)
    worked: list[float] = []

    class Timed(PlainProgress):
        def end_trial(self, cell: str, number: int, end: object) -> None:
            worked.append(end.duration_s)  # type: ignore[attr-defined]

    with open(os.devnull, "w") as nowhere:
        progress = Timed(cells, Console(file=nowhere))
        started = time.perf_counter()
        search(run, cells, searcher, workers, progress, Trackers())
        return time.perf_counter() - started, sum(worked)


def overhead(data: Path, folder: Path, trials: int) -> None:
    """Trials that cost next to nothing: what is left is Ray, Optuna, ledger and records."""
    per_cell = -(-trials // 4)
    study = make_study(
        {
            "name": "x",
            "data": str(data),
            "methods": ("patch_knn",),
            "trials": per_cell,
            "sampler": "random",
            "scale": "squash 32",
            "num_references": "2",
            "early_stopping": "none",
            "weights": "none",
        }
    )
    everything = Arm(name="all", shares=True, caches=True)
    with start_embedded_ray(num_cpus=2, dashboard=False):
        run = run_in(folder / "overhead", study, data=data, arm=everything)
        cells = cells_in(study, data)
        wall_s, worked_s = search_on_ray(run, cells, 2)
    number = per_cell * len(cells)
    beyond = (2 * wall_s - worked_s) / number
    print(
        f"{number} trials on 2 workers: {wall_s:.1f} s, of which they worked {worked_s:.1f} s together;"
        f" {beyond:.2f} worker-seconds a trial beyond its own work, workers' start among them"
    )


def efficiency(data: Path, folder: Path, trials: int) -> None:
    """The same fits on one worker and on two, one thread each."""
    walls = {}
    with start_embedded_ray(num_cpus=2, dashboard=False):
        for count in (1, 2):
            study = make_study(
                {
                    "name": "x",
                    "data": str(data),
                    "space": "demo",
                    "trials": trials,
                    "sampler": "random",
                    "scale": "squash 96",
                    "num_references": "8",
                    "early_stopping": "none",
                    "weights": "none",
                }
            )
            everything = Arm(name="all", shares=True, caches=True)
            run = run_in(folder / f"efficiency_{count}", study, data=data, arm=everything)
            cells = cells_in(study, data)
            walls[count], worked_s = search_on_ray(run, cells, count)
            print(f"{count} worker(s): {walls[count]:.1f} s, worked {worked_s:.1f} s", flush=True)
    print(f"parallel efficiency at 2 workers: {walls[1] / (2 * walls[2]):.2f}")


def kills(data: Path, folder: Path, number: int, seed: int) -> None:
    """Kill the driver or a worker at random moments, `number` times, then let the study finish."""
    drawn = random.Random(seed)
    study_file = folder / "study.yaml"
    write_study(
        folder,
        make_study(
            {"name": "x", "data": str(data), "trials": 2 * number, "space": "demo", "scale": "squash 64"}
            | {"num_references": "4", "weights": "none", "early_stopping": "none"}
        ),
    )
    command = [sys.executable, "-m", "tune.cli", "launch", "--study", str(study_file)]
    command += ["--runs", str(folder / "runs"), "--workers", "2"]
    seen: dict[str, tuple[int, int]] = {}
    lost = again = done = 0
    process: subprocess.Popen[bytes] | None = None
    while done < number:
        if process is None or process.poll() is not None:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _wait_for_workers(process)
        time.sleep(drawn.uniform(0.0, 4.0))
        workers = list(_workers(process.pid))
        victim = process.pid if drawn.random() < 0.5 or not workers else drawn.choice(workers)
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
        if victim == process.pid:
            process.wait()
            _wait_until_gone(workers)
        done += 1
        now = _stamps(folder / "runs")
        lost += sum(name not in now for name in seen)
        again += sum(name in now and now[name] != stamp for name, stamp in seen.items())
        seen = now
        print(f"kill {done}: {'driver' if victim == process.pid else 'worker'}, {len(now)} files", flush=True)
    if process is not None and process.poll() is None:
        process.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    now = _stamps(folder / "runs")
    lost += sum(name not in now for name in seen)
    again += sum(name in now and now[name] != stamp for name, stamp in seen.items())
    found = audit(folder / "runs" / "x")
    summary = json.loads((folder / "runs" / "x" / "summary.json").read_text())
    trials = [len(c["trials"]) for c in summary["cells"] if c["trials"]]
    print(
        f"{done} kills: {lost} records or fits lost, {again} written again; {found.num_records} records,"
        f" {summary['fits_computed']} fits, {len(found.breaches)} breaches; trials a cell"
        f" {sorted(set(trials))}, {sum(bool(c['error']) for c in summary['cells'])} cells failed"
    )


def _stamps(runs: Path) -> dict[str, tuple[int, int]]:
    """What changes when a finished fit or an ok record is written again."""
    paths = [*runs.glob(".shared/fits/*/fit.json"), *runs.glob("x/records/*.parquet")]
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns) for p in paths}


def _processes() -> Iterator[tuple[int, int, str]]:
    """(pid, parent, command) of every process."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            command = (stat.parent / "cmdline").read_bytes().split(b"\0")[0].decode()
        except (OSError, IndexError, ValueError):
            continue
        yield int(stat.parent.name), parent, command


def _workers(driver: int) -> Iterator[int]:
    """The search's workers among the descendants of a driver."""
    known = {pid: (parent, command) for pid, parent, command in _processes()}
    for pid, (_, command) in known.items():
        ancestor = pid
        while ancestor in known and ancestor != driver:
            ancestor = known[ancestor][0]
        if ancestor == driver and command.startswith("ray::") and "Trainable" in command:
            yield pid


def _wait_for_workers(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None and not list(_workers(process.pid)):
        time.sleep(0.1)


def _wait_until_gone(pids: Sequence[int]) -> None:
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.1)


def main() -> None:
    """Run one of the benchmarks on synthetic surfaces."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("components", "overhead", "efficiency", "kills"))
    parser.add_argument("--trials", type=int, help="configurations a cell; for overhead: of all cells")
    parser.add_argument("--domains", type=int, default=4, help="3 to 5")
    parser.add_argument("--image-size", type=int, default=96, help="of components")
    parser.add_argument("--arms", default=",".join(a.name for a in ARMS), help="of components")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = folder / "surfaces"
        few = given.what in ("overhead", "kills")
        synthesize(
            data,
            seed=given.seed,
            domains=DOMAINS[: given.domains],
            num_train=4 if few else 12,
            num_good=3 if few else 12,
            num_defective=3 if few else 12,
            size_px=64 if few else given.image_size,
        )
        if given.what == "components":
            arms = [arm for arm in ARMS if arm.name in given.arms.split(",")]
            components(data, folder, given.trials or 8, given.image_size, arms)
        elif given.what == "overhead":
            overhead(data, folder, given.trials or 200)
        elif given.what == "efficiency":
            efficiency(data, folder, given.trials or 4)
        else:
            kills(data, folder, given.kills, given.seed)


if __name__ == "__main__":
    main()
