"""A search of 1,000 workers and 10,000 fits in simulated time: `python benchmarks/scale.py`.

The searcher with its journals, records, fits, ledger, leases, seals and report are the real ones; training is
not: a fit waits in simulated time, and its figure is made up from its settings. Ray is not started, and data
is not read. Printed are, at checkpoints, the real seconds a fit costs by who spends them, memory, the size of
the state, and how long a new process takes from its start to its first suggestion after a `kill -9`; then
what follows the search. `docs/guide/scale.md` has figures and what they mean.
"""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from scale_finish import finish
from scale_study import Options, cells_of_run, run_at
from simulated_fits import Luck
from simulated_search import SimulatedSearch
from simulation import Meter, resident_bytes, size_of

from tune.run_folder.folder import write_study
from tune.run_folder.layout import SHARED_FOLDER

CHECKPOINTS = (1_000, 2_000, 5_000, 10_000)
PARTS: Mapping[str, tuple[str, ...]] = {
    "driver": ("suggest", "report", "complete", "progress"),
    "keeper": ("ledger", "leases"),
    "workers": ("records", "fits"),
}
"""Who spends what, where workers and keeper are processes of their own."""
MIB = 1024**2


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """Where the search stood when so many fits were computed; seconds a fit are since the one before."""

    fits: int
    trials: int
    simulated_s: float
    ms_a_fit: dict[str, float]
    """Processor and disk, by part of the work."""
    cpu_ms_a_fit: dict[str, float]
    """Processor alone."""
    flushes_a_fit: dict[str, float]
    resident_mib: float
    growth_mib: float
    """Since before the search was opened."""
    files: dict[str, int]
    state_mib: dict[str, float]
    resume: dict[str, float]

    def sum_of(self, figure: str, who: str) -> float:
        """A figure a fit of the driver, of the keeper or of all workers together."""
        by_part: dict[str, float] = getattr(self, figure)
        return sum(by_part.get(part, 0.0) for part in PARTS[who])


class Watch:
    """Takes the checkpoints of one search."""

    def __init__(self, search: SimulatedSearch, runs: Path, options: Options, *, memory_before: int) -> None:
        self._search = search
        self._runs = runs
        self._options = options
        self._memory_before = memory_before
        self._last = (0, Meter())

    def take(self, *, resumed: bool) -> Checkpoint:
        """What was spent since the last one; the copy for a `resumed` process counts for nothing."""
        meter, (fits_before, before) = self._search.meter, self._last
        fits = len(self._search.computed)
        new = max(1, fits - fits_before)
        places = {
            "journals": self._search.run.journals_folder,
            "records": Path(self._search.run.records_location),
            "ledger": Path(self._search.run.ledger_location),
            "shared": self._runs / SHARED_FOLDER,
        }
        sizes = {name: size_of(place) for name, place in places.items()}
        resident = resident_bytes()
        found = Checkpoint(
            fits=fits,
            trials=self._search.counts["trials"],
            simulated_s=self._search.clock.now_s,
            ms_a_fit={p: 1e3 * (s - before.wall_s[p]) / new for p, s in meter.wall_s.items()},
            cpu_ms_a_fit={p: 1e3 * (s - before.cpu_s[p]) / new for p, s in meter.cpu_s.items()},
            flushes_a_fit={p: (n - before.flushes[p]) / new for p, n in meter.flushes.items()},
            resident_mib=resident / MIB,
            growth_mib=(resident - self._memory_before) / MIB,
            files={name: number for name, (number, _) in sizes.items()},
            state_mib={name: size / MIB for name, (_, size) in sizes.items()},
            resume=resume_copy(self._runs, self._options) if resumed else {},
        )
        now = Meter()
        for name in ("wall_s", "cpu_s", "flushes"):
            getattr(now, name).update(getattr(meter, name))
        self._last = (fits, now)
        return found


def resume_copy(runs: Path, options: Options) -> dict[str, float]:
    """Let a new process go on with a copy of what is on disk, as if this one had been killed now."""
    with tempfile.TemporaryDirectory(dir=runs.parent) as copy:
        there = Path(copy) / "runs"
        # Links: records, entries and fits are never changed. Journals are, so they are copied.
        shutil.copytree(runs, there, copy_function=os.link)
        shutil.rmtree(there / "x" / "optuna")
        shutil.copytree(runs / "x" / "optuna", there / "x" / "optuna")
        command = [sys.executable, str(Path(__file__).with_name("scale_resume.py")), str(there)]
        began = time.perf_counter()
        done = subprocess.run(
            [*command, json.dumps(dataclasses.asdict(options))], check=True, capture_output=True, text=True
        )
        steps: dict[str, float] = json.loads(done.stdout)
        return {**steps, "process": time.perf_counter() - began}


def simulate(runs: Path, options: Options, checkpoints: tuple[int, ...]) -> dict[str, Any]:
    """The whole study, what it cost at each checkpoint, and what followed."""
    run = run_at(runs, options)
    run.folder.mkdir(parents=True, exist_ok=True)
    write_study(run.folder, run.study)
    cells = cells_of_run(run, options)
    meter, memory_before = Meter(), resident_bytes()
    began = time.perf_counter()
    found = []
    with meter.counting_flushes():
        with meter.part("open"):
            search = SimulatedSearch(
                run,
                cells,
                meter=meter,
                luck=Luck(death_rate=options.death_rate, seed=options.seed),
                median_fit_s=options.median_fit_s,
            )
        watch = Watch(search, runs, options, memory_before=memory_before)
        for number in sorted(n for n in checkpoints if n < options.fits):
            search.work(options.workers, lambda n=number: len(search.computed) >= n)  # type: ignore[misc]
            if search.searcher.num_left > 0:
                found.append(watch.take(resumed=True))
                click.echo(f"{number:,} fits after {time.perf_counter() - began:.0f} s", err=True)
        search.work(options.workers)
        found.append(watch.take(resumed=True))
    return {
        "options": dataclasses.asdict(options),
        "cells": len(cells),
        "trials_a_cell": options.trials,
        "counts": dict(search.counts),
        "checkpoints": [dataclasses.asdict(c) for c in found],
        "finish": finish(run, cells, search),
        "wall_s": time.perf_counter() - began,
    }


def tables(result: Mapping[str, Any]) -> tuple[Table, Table]:
    """(one column a checkpoint, what followed the search)."""
    found = [Checkpoint(**values) for values in result["checkpoints"]]
    table = Table(title="Real cost of the search, by fits computed", box=None, title_justify="left")
    table.add_column("")
    for c in found:
        table.add_column(f"{c.fits:,}", justify="right")

    def row(name: str, values: list[str]) -> None:
        table.add_row(name, *values)

    row("trials ended", [f"{c.trials:,}" for c in found])
    row("simulated hours", [f"{c.simulated_s / 3600:.2f}" for c in found])
    for who, parts in PARTS.items():
        row(f"{who}, ms a fit", [f"{c.sum_of('ms_a_fit', who):.2f}" for c in found])
        row("  processor alone", [f"{c.sum_of('cpu_ms_a_fit', who):.2f}" for c in found])
        for part in parts:
            row(f"  {part}", [f"{c.ms_a_fit.get(part, 0.0):.2f}" for c in found])
        row("  flushes to disk a fit", [f"{c.sum_of('flushes_a_fit', who):.1f}" for c in found])
    row("resident, MiB", [f"{c.resident_mib:.0f}" for c in found])
    row("  grown by", [f"{c.growth_mib:.0f}" for c in found])
    for place in found[0].files:
        row(f"{place}, MiB / files", [f"{c.state_mib[place]:.1f} / {c.files[place]:,}" for c in found])
    row("resume, s", [f"{c.resume.get('total', 0.0):.1f}" for c in found])
    for step in [s for s in found[0].resume if s not in ("total", "process", "left", "peak_mib")]:
        row(f"  {step}", [f"{c.resume.get(step, 0.0):.1f}" for c in found])
    row("  its peak, MiB", [f"{c.resume.get('peak_mib', 0.0):.0f}" for c in found])
    after = Table(title="After the search", box=None, title_justify="left")
    after.add_column("")
    after.add_column("", justify="right")
    for name, value in result["finish"].items():
        after.add_row(name, f"{value:,.2f}" if isinstance(value, float) else f"{value:,}")
    return table, after


@click.command()
@click.option("--fits", default=10_000, show_default=True, help="About as many as the search computes.")
@click.option("--workers", default=1_000, show_default=True)
@click.option("--cells", default=0, help="The first so many cells of the matrix; 0 is all.")
@click.option("--sampler", type=click.Choice(["tpe", "random", "nsga2"]), default="tpe", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--death-rate", default=0.01, show_default=True, help="Of fits whose worker is killed.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the run in this new folder.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write all figures there too.")
def main(
    fits: int,
    workers: int,
    cells: int,
    sampler: str,
    seed: int,
    death_rate: float,
    keep: Path | None,
    json_path: Path | None,
) -> None:
    """Search in simulated time, and say what it cost; such as `python benchmarks/scale.py --fits 1000`."""
    options = Options(
        fits=fits, workers=workers, cells=cells, sampler=sampler, seed=seed, death_rate=death_rate
    )
    with tempfile.TemporaryDirectory() as temporary:
        result = simulate((keep or Path(temporary)) / "runs", options, CHECKPOINTS)
    if json_path:
        json_path.write_text(json.dumps(result, indent=2))
    console = Console(width=100)
    counts = ", ".join(f"{number:,} {name}" for name, number in sorted(result["counts"].items()))
    console.print(
        f"{result['cells']} cells of {result['trials_a_cell']} trials, {workers:,} workers: {counts};"
        f" {result['wall_s']:.0f} s in all",
        highlight=False,
    )
    for table in tables(result):
        console.print(table)


if __name__ == "__main__":
    main()
