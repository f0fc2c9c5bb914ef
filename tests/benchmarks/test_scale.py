"""The search in simulated time: it is the real one, on few fits, and what the benchmark prints is counted."""

import json
from collections import Counter
from pathlib import Path

import pytest
import scale
from click.testing import CliRunner
from scale_finish import finish
from scale_study import Options, cells_of_run, run_at
from simulated_fits import Luck, auroc_of, seconds_of
from simulated_search import SimulatedSearch
from simulation import Clock, Meter

from tune.run_folder.folder import write_study
from tune.search.searcher import open_study
from tune.search.selection import summarise_trials

OPTIONS = Options(fits=60, workers=6, cells=6, death_rate=0.15)


def _search(runs: Path, options: Options = OPTIONS) -> SimulatedSearch:
    run = run_at(runs, options)
    run.folder.mkdir(parents=True, exist_ok=True)
    write_study(run.folder, run.study)
    luck = Luck(death_rate=options.death_rate)
    return SimulatedSearch(
        run, cells_of_run(run, options), meter=Meter(), luck=luck, median_fit_s=options.median_fit_s
    )


def _num_trials(search: SimulatedSearch) -> dict[str, int]:
    folder = search.run.journals_folder
    return {name: len(summarise_trials(open_study(folder, name, seed=0))) for name in search.cells}


def test_every_fit_is_computed_once_whoever_dies_over_it(tmp_path: Path) -> None:
    search = _search(tmp_path)
    search.work(OPTIONS.workers)
    assert search.counts["deaths"] > 0
    assert search.counts["taken over"] > 0
    assert len(search.computed) == len(set(search.computed)) == len(search.bench.fits.ids())
    assert search.counts["folds"] > len(search.computed), "some fits were shared"
    assert set(_num_trials(search).values()) == {OPTIONS.trials}
    after = finish(search.run, tuple(search.cells.values()), search)
    assert after["breaches"] == 0
    assert after["refits"] > len(search.cells)
    assert len(search.computed) == len(set(search.computed)) == after["fits of the summary"]


def test_the_same_search_happens_again(tmp_path: Path) -> None:
    one, other = _search(tmp_path / "one"), _search(tmp_path / "other")
    for search in (one, other):
        search.work(OPTIONS.workers)
    assert one.computed == other.computed
    assert one.clock.now_s == other.clock.now_s > max(seconds_of_all(one))
    assert one.counts == other.counts


def seconds_of_all(search: SimulatedSearch) -> list[float]:
    """Of the fits on its records."""
    return [seconds_of(r.fit, OPTIONS.median_fit_s) for r in search.bench.records.records()]


def test_what_was_killed_goes_on_and_repeats_nothing(tmp_path: Path) -> None:
    killed = _search(tmp_path)
    killed.work(OPTIONS.workers, lambda: len(killed.computed) >= 25)
    left = killed.searcher.num_left
    assert len(killed.computed) == 25
    resumed = _search(tmp_path)
    assert resumed.searcher.num_left == left + OPTIONS.workers
    resumed.work(OPTIONS.workers)
    assert not set(killed.computed) & set(resumed.computed)
    assert len(resumed.computed) > 0
    assert set(_num_trials(resumed).values()) == {OPTIONS.trials}


def test_figures_depend_on_settings_and_surface_alone(tmp_path: Path) -> None:
    run = run_at(tmp_path, OPTIONS)
    keys = [run.fit_key("agg", {"num_steps": steps}, ("grid", "tile")) for steps in (60, 120, 240)]
    assert len({auroc_of(key, target) for key in keys for target in ("wood", "carpet")}) == 6
    assert all(0 <= auroc_of(key, "wood") <= 1 for key in keys)
    assert auroc_of(keys[0], "wood") == auroc_of(keys[0], "wood")


def test_a_clock_keeps_the_order_of_events_and_a_meter_what_they_cost() -> None:
    clock, meter, happened = Clock(), Meter(), []

    def process(name: str, pause_s: float):  # type: ignore[no-untyped-def]
        for _ in range(2):
            with meter.part(name):
                happened.append((clock.now_s, name))
            yield pause_s

    clock.start(process("slow", 5.0))
    clock.start(process("quick", 2.0), delay_s=1.0)
    clock.run(lambda: len(happened) == 3)
    assert happened == [(0.0, "slow"), (1.0, "quick"), (3.0, "quick")]
    clock.run()
    assert happened[-1] == (5.0, "slow")
    assert meter.calls == Counter(slow=2, quick=2)
    assert all(s >= 0 for s in meter.wall_s.values())


@pytest.mark.slow
def test_the_command_prints_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "CHECKPOINTS", (10,))
    path = tmp_path / "figures.json"
    arguments = ["--fits", "30", "--workers", "4", "--cells", "2", "--json", str(path)]
    done = CliRunner().invoke(scale.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    rows = {line.strip().split("  ")[0] for line in done.output.splitlines()}
    for row in ("driver, ms a fit", "suggest", "keeper, ms a fit", "workers, ms a fit", "resident, MiB"):
        assert row in rows
    assert {"journals, MiB / files", "records, MiB / files", "resume, s", "seals, s", "audit, s"} <= rows
    result = json.loads(path.read_text())
    first, last = result["checkpoints"]
    assert first["fits"] == 10 < last["fits"]
    assert first["resume"]["left"] > 0
    assert first["resume"]["total"] > 0
    assert last["flushes_a_fit"]["ledger"] >= 2
    assert last["files"]["journals"] == 2
    assert result["finish"]["breaches"] == 0
