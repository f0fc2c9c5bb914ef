"""The matrix searcher: dealing, common opening, and going on after any interruption."""

import json
import multiprocessing
import os
import pickle
import signal
import time
from pathlib import Path
from typing import Any

from dgad.settings import FeatureSettings
from tune.cells import Cell, cells_of
from tune.opening import opening_design
from tune.searcher import METRIC, MatrixSearcher, open_study
from tune.selection import SCORES, trial_summaries
from tune.study import Study

DOMAINS = ("a", "b", "c")
TRIALS = 6
FEATURES = FeatureSettings(weights="none")


def _cells(num_trials: int = TRIALS) -> tuple[Cell, ...]:
    study = Study(name="x", methods=("comparer", "patch_knn"), trials=num_trials)
    return cells_of(study, DOMAINS, searched=["comparer", "patch_knn"])


def _searcher(folder: Path, cells: tuple[Cell, ...] | None = None) -> MatrixSearcher:
    return MatrixSearcher(cells or _cells(), folder, kind="full", features=FEATURES, seed=0)


def _answer(config: dict[str, Any]) -> dict[str, Any]:
    """A result that depends on the configuration alone."""
    value = (hash(config["settings"]) % 997) / 997
    return {METRIC: value, SCORES: json.dumps({"b": value}), "error": ""}


def _finish(searcher: MatrixSearcher) -> list[dict[str, Any]]:
    dealt = []
    while isinstance(config := searcher.suggest(f"t{len(dealt)}"), dict):
        dealt.append(config)
        searcher.on_trial_complete(f"t{len(dealt) - 1}", _answer(config))
    assert config == MatrixSearcher.FINISHED
    return dealt


def test_trials_are_dealt_in_turn_until_each_cell_has_its_number(tmp_path: Path) -> None:
    cells = _cells()
    dealt = _finish(_searcher(tmp_path))
    names = [c["cell"] for c in dealt]
    for turn in range(TRIALS):
        assert names[turn * len(cells) : (turn + 1) * len(cells)] == [c.name for c in cells]
    for cell in cells:
        found = trial_summaries(open_study(tmp_path, cell.name, seed=0))
        assert len(found) == TRIALS
        assert all(t.status == "complete" and t.inner_scores.keys() == {"b"} for t in found)


def test_the_opening_is_the_same_in_every_cell_of_a_method_and_the_rest_is_not(tmp_path: Path) -> None:
    dealt = _finish(_searcher(tmp_path))
    design = opening_design("comparer", "full", FEATURES, seed=0, num_trials=TRIALS)
    for target in (*DOMAINS, "deploy"):
        own = [json.loads(c["settings"]) for c in dealt if c["cell"] == f"comparer@{target}"]
        assert own[: len(design)] == [p.settings for p in design]
    last = {c["settings"] for c in dealt[-len(_cells()) :] if c["cell"].startswith("comparer")}
    assert len(last) > 1


def test_a_new_searcher_goes_on_and_asks_again_for_what_was_running(tmp_path: Path) -> None:
    first = _searcher(tmp_path)
    dealt = []
    for number in range(10):
        config = first.suggest(f"t{number}")
        assert isinstance(config, dict)
        dealt.append(config)
        if number < 8:
            first.on_trial_complete(f"t{number}", _answer(config))
    second = _searcher(tmp_path)
    assert second.num_left == TRIALS * len(_cells()) - 8
    rest = _finish(second)
    assert len(rest) == second_total(8)
    for lost in dealt[8:]:
        assert (lost["cell"], lost["settings"]) in [(c["cell"], c["settings"]) for c in rest]
    assert _searcher(tmp_path).num_left == 0


def second_total(done: int) -> int:
    """Trials that a resumed search deals."""
    return TRIALS * len(_cells()) - done


def test_a_failed_trial_counts_and_keeps_its_cause(tmp_path: Path) -> None:
    cells = _cells(1)[:1]
    searcher = _searcher(tmp_path, cells)
    searcher.suggest("t")
    searcher.on_trial_complete("t", {METRIC: float("nan"), SCORES: "{}", "error": "the loss became nan"})
    assert searcher.suggest("u") == MatrixSearcher.FINISHED
    (trial,) = trial_summaries(open_study(tmp_path, cells[0].name, seed=0))
    assert (trial.status, trial.value, trial.error) == ("failed", None, "the loss became nan")
    assert _searcher(tmp_path, cells).num_left == 0


def test_a_dead_worker_is_a_failed_trial(tmp_path: Path) -> None:
    cells = _cells(1)[:1]
    searcher = _searcher(tmp_path, cells)
    searcher.suggest("t")
    searcher.on_trial_complete("t", None, error=True)
    (trial,) = trial_summaries(open_study(tmp_path, cells[0].name, seed=0))
    assert trial.error == "its worker broke off"


def test_ray_tune_can_store_it_with_the_experiment(tmp_path: Path) -> None:
    copied = pickle.loads(pickle.dumps(_searcher(tmp_path)))
    assert isinstance(copied.suggest("t"), dict)


def _run_for_ever(folder: Path) -> None:
    searcher = _searcher(folder)
    running: list[dict[str, Any]] = []
    while isinstance(config := searcher.suggest(f"t{len(running)}"), dict):
        running.append(config)
        if len(running) > 1:  # one trial is always left running
            searcher.on_trial_complete(f"t{len(running) - 2}", _answer(running[-2]))
    time.sleep(600)


def test_killed_in_the_middle_no_trial_is_lost(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=_run_for_ever, args=(tmp_path,))
    process.start()
    while not list(tmp_path.glob("*.log")):
        time.sleep(0.01)
    time.sleep(0.2)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    _finish(_searcher(tmp_path))
    for cell in _cells():
        found = trial_summaries(open_study(tmp_path, cell.name, seed=0))
        assert len(found) == TRIALS
        design = opening_design(cell.method, "full", FEATURES, seed=0, num_trials=TRIALS)
        assert [p for p in design if p.settings not in [t.settings for t in found]] == []
