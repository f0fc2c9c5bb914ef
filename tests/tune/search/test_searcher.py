"""The matrix searcher: dealing, common initial design, and going on after any interruption."""

import dataclasses
import json
import multiprocessing
import os
import pickle
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS
from dgad.report.summary import TrialSummary
from dgad.settings import to_dict
from tune.run_folder.journals import make_journal_path
from tune.run_folder.layout import SCORES_KEY, VALUES_KEY
from tune.search.samplers import Pruning, SamplerName
from tune.search.searcher import METRIC, MatrixSearcher, open_study
from tune.search.selection import select, summarise_trials
from tune.spaces import SpaceSettings
from tune.spaces.initial_design import make_initial_design
from tune.spaces.reading import read_spaces
from tune.study.cells import Cell, make_cells
from tune.study.objectives import parse_constraint
from tune.study.settings import Study

DOMAINS = ("a", "b", "c")
TRIALS = 6
SPACES = SpaceSettings(features=FeatureSettings(weights="none"))


def _cells(num_trials: int = TRIALS) -> tuple[Cell, ...]:
    study = Study(name="x", methods=("comparer", "patch_knn"), trials=num_trials)
    return make_cells(study, DOMAINS, searched=["comparer", "patch_knn"])


def _searcher(folder: Path, cells: tuple[Cell, ...] | None = None) -> MatrixSearcher:
    return MatrixSearcher(cells or _cells(), folder, spaces=SPACES, seed=0)


def _answer(config: dict[str, Any]) -> dict[str, Any]:
    """A result that depends on the configuration alone."""
    value = (hash(config["settings"]) % 997) / 997
    return {
        METRIC: value,
        SCORES_KEY: json.dumps({"b": value}),
        VALUES_KEY: json.dumps({"image_auroc": value}),
        "error": "",
    }


def _finish(searcher: MatrixSearcher) -> list[dict[str, Any]]:
    dealt = []
    while isinstance(config := searcher.suggest(f"t{len(dealt)}"), dict):
        dealt.append(config)
        searcher.on_trial_complete(f"t{len(dealt) - 1}", _answer(config))
    assert config == MatrixSearcher.FINISHED
    return dealt


def test_trials_are_dealt_in_turn_until_each_cell_has_its_number(tmp_path: Path) -> None:
    cells = _cells()
    searcher = _searcher(tmp_path)
    dealt = _finish(searcher)
    names = [c["cell"] for c in dealt]
    for turn in range(TRIALS):
        assert names[turn * len(cells) : (turn + 1) * len(cells)] == [c.name for c in cells]
    for cell in cells:
        found = summarise_trials(open_study(tmp_path, cell.name, seed=0))
        assert found == searcher.trials()[cell.name]
        assert len(found) == TRIALS
        assert all(t.status == "complete" and t.inner_scores.keys() == {"b"} for t in found)


def test_the_initial_design_is_the_same_in_every_cell_of_a_method_and_the_rest_is_not(tmp_path: Path) -> None:
    dealt = _finish(_searcher(tmp_path))
    design = make_initial_design("comparer", SPACES, seed=0, num_trials=TRIALS)
    for target in (*DOMAINS, "deploy"):
        own = [json.loads(c["settings"]) for c in dealt if c["cell"] == f"comparer@{target}"]
        assert own[: len(design)] == [p.settings for p in design]
    last = {c["settings"] for c in dealt[-len(_cells()) :] if c["cell"].startswith("comparer")}
    assert len(last) > 1


def test_a_narrowed_space_is_all_that_is_dealt_its_presets_first(tmp_path: Path) -> None:
    narrowings = read_spaces(
        {"comparer": {"num_steps": [0, 60], "aggregation": "min"}, "patch_knn": {"map_sigma_px": [0.0, 4.0]}}
    )
    spaces = dataclasses.replace(SPACES, narrowings=narrowings)
    dealt = _finish(MatrixSearcher(_cells(12), tmp_path, spaces=spaces, seed=0))
    own: dict[str, list[dict[str, Any]]] = {}
    for config in dealt:
        own.setdefault(config["cell"], []).append(json.loads(config["settings"]))
    presets = METHODS["comparer"].presets
    expected = [to_dict(presets[name]) for name in ("robust", "robust_distance", "untrained")]
    for target in (*DOMAINS, "deploy"):
        settings = own[f"comparer@{target}"]
        assert settings[: len(expected)] == expected
        assert {(s["num_steps"], s["aggregation"]) for s in settings} == {(0, "min"), (60, "min")}
    for target in DOMAINS:
        assert {s["map_sigma_px"] for s in own[f"patch_knn@{target}"]} == {0.0, 4.0}


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
    searcher.on_trial_complete("t", {METRIC: float("nan"), SCORES_KEY: "{}", "error": "the loss became nan"})
    assert searcher.suggest("u") == MatrixSearcher.FINISHED
    (trial,) = summarise_trials(open_study(tmp_path, cells[0].name, seed=0))
    assert (trial.status, trial.value, trial.error) == ("failed", None, "the loss became nan")
    assert _searcher(tmp_path, cells).num_left == 0


def test_a_dead_worker_is_a_failed_trial(tmp_path: Path) -> None:
    cells = _cells(1)[:1]
    searcher = _searcher(tmp_path, cells)
    searcher.suggest("t")
    searcher.on_trial_complete("t", None, error=True)
    (trial,) = summarise_trials(open_study(tmp_path, cells[0].name, seed=0))
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


@pytest.mark.slow
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
        found = summarise_trials(open_study(tmp_path, cell.name, seed=0))
        assert len(found) == TRIALS
        design = make_initial_design(cell.method, SPACES, seed=0, num_trials=TRIALS)
        assert [p for p in design if p.settings not in [t.settings for t in found]] == []


def _folds(searcher: MatrixSearcher, trial_id: str, values: list[float]) -> int:
    """Report running means until the rule stops the trial; the folds it was seen on."""
    for number in range(1, len(values) + 1):
        seen = {str(i): v for i, v in enumerate(values[:number])}
        mean = sum(seen.values()) / number
        means = json.dumps({"image_auroc": mean})
        result = {METRIC: mean, SCORES_KEY: json.dumps(seen), VALUES_KEY: means, "error": ""}
        done = number == len(values)
        if done or searcher.should_stop(trial_id, result):
            searcher.on_trial_complete(trial_id, {**result, "done": True})
            return number
    raise AssertionError


def _stopping_searcher(folder: Path, rule: Pruning) -> MatrixSearcher:
    return MatrixSearcher(_cells(8)[:2], folder, spaces=SPACES, seed=0, early_stopping=rule)


@pytest.mark.parametrize("rule", ["median", "asha"])
def test_a_poor_configuration_is_given_up_and_reaches_the_sampler_as_pruned(
    tmp_path: Path, rule: Pruning
) -> None:
    searcher = _stopping_searcher(tmp_path, rule)
    names = [c.name for c in _cells(8)[:2]]
    seen: dict[str, list[int]] = {name: [] for name in names}
    for number in range(16):
        config = searcher.suggest(f"t{number}")
        assert isinstance(config, dict)
        # The first cell's fifth configuration is poor; in the other cell every one is as poor as that.
        poor = config["cell"] == names[1] or len(seen[names[0]]) == 4
        seen[config["cell"]].append(
            _folds(searcher, f"t{number}", [0.3, 0.3, 0.3] if poor else [0.9, 0.8, 0.9])
        )
    assert seen[names[0]][4] == 1
    assert seen[names[1]] == [3] * 8, "another cell's values must not count"
    study = open_study(tmp_path, names[0], seed=0)
    pruned = [t for t in study.get_trials() if t.state == TrialState.PRUNED]
    assert [t.number for t in pruned] == [4]
    assert pruned[0].intermediate_values == {1: 0.3}
    (stopped,) = [t for t in summarise_trials(study) if t.status == "stopped"]
    assert stopped.value == 0.3
    assert list(stopped.inner_scores.values()) == [0.3]


def test_without_a_rule_every_configuration_is_seen_through(tmp_path: Path) -> None:
    searcher = _stopping_searcher(tmp_path, "none")
    for number in range(16):
        assert isinstance(searcher.suggest(f"t{number}"), dict)
        assert _folds(searcher, f"t{number}", [0.9 - 0.05 * number] * 3) == 3


def test_a_fold_seen_again_after_a_workers_death_is_reported_once(tmp_path: Path) -> None:
    searcher = _stopping_searcher(tmp_path, "median")
    config = searcher.suggest("t")
    assert isinstance(config, dict)
    result = {METRIC: 0.5, SCORES_KEY: json.dumps({"b": 0.5}), "error": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not searcher.should_stop("t", result)
        assert not searcher.should_stop("t", result)


def test_a_stopped_configuration_is_never_chosen(tmp_path: Path) -> None:
    complete, stopped = (
        TrialSummary(
            number=n,
            settings={"n": n},
            value=v,
            values={"image_auroc": v},
            inner_scores={},
            status=s,
            duration_s=1,
        )
        for n, v, s in ((0, 0.7, "complete"), (1, 0.9, "stopped"))
    )
    chosen = select((complete, stopped), ("image_auroc",))
    assert chosen is not None
    assert chosen.trial == 0


@pytest.mark.parametrize(
    ("name", "kind"), [("random", RandomSampler), ("nsga2", NSGAIISampler), ("tpe", TPESampler)]
)
def test_every_sampler_goes_on_where_it_was_stopped(tmp_path: Path, name: SamplerName, kind: type) -> None:
    cells = _cells(5)[:2]

    def searcher() -> MatrixSearcher:
        return MatrixSearcher(cells, tmp_path, spaces=SPACES, seed=0, sampler=name)

    first = searcher()
    for number in range(6):
        config = first.suggest(f"t{number}")
        assert isinstance(config, dict)
        first.on_trial_complete(f"t{number}", _answer(config))
    assert isinstance(open_study(tmp_path, cells[0].name, seed=0, sampler=name).sampler, kind)
    dealt = _finish(searcher())
    assert len(dealt) == 4
    settings = [t.settings for t in summarise_trials(open_study(tmp_path, cells[0].name, seed=0))]
    assert len({json.dumps(s, sort_keys=True) for s in settings}) == 5, "no configuration twice"


def _tell(
    searcher: MatrixSearcher, trial_id: str, values: dict[str, float], error: str = ""
) -> dict[str, str]:
    config = searcher.suggest(trial_id)
    assert isinstance(config, dict)
    first = values.get("image_auroc", float("nan"))
    result = {
        METRIC: first,
        SCORES_KEY: json.dumps({"b": first}),
        VALUES_KEY: json.dumps(values),
        "error": error,
    }
    searcher.on_trial_complete(trial_id, {**result, "done": True})
    return config


def test_several_objectives_reach_the_study_and_are_never_pruned(tmp_path: Path) -> None:
    (cell,) = _cells(6)[:1]
    searcher = MatrixSearcher(
        [cell],
        tmp_path,
        spaces=SPACES,
        seed=0,
        objectives=("image_auroc", "ms_per_image"),
        bounds=(parse_constraint("ms_per_image <= 20"),),
    )
    for number in range(5):
        _tell(searcher, f"t{number}", {"image_auroc": 0.5 + 0.1 * number, "ms_per_image": 10.0 * number})
    _tell(searcher, "t5", {"image_auroc": 0.9})
    study = open_study(tmp_path, cell.name, seed=0, objectives=("image_auroc", "ms_per_image"))
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    found = summarise_trials(study)
    assert [t.values["ms_per_image"] for t in found[:5]] == [0.0, 10.0, 20.0, 30.0, 40.0]
    assert found[5].status == "failed"
    assert found[5].error == "no inner fold gives ms_per_image"
    assert [t.constraints for t in study.get_trials()[:5]] == [
        {"ms_per_image <= 20": excess} for excess in (-20.0, -10.0, 0.0, 10.0, 20.0)
    ]


def test_a_failed_trial_is_asked_for_again_and_the_later_attempt_stands_for_it(tmp_path: Path) -> None:
    (cell,) = _cells(2)[:1]

    def searcher(*again: str) -> MatrixSearcher:
        return MatrixSearcher([cell], tmp_path, spaces=SPACES, seed=0, retry_failed=again)

    first = _tell(searcher(), "a", {}, error="out of memory")
    _tell(searcher(), "b", {"image_auroc": 0.7})
    assert searcher().num_left == 0
    again = searcher(cell.name)
    assert again.num_left == 1
    repeated = _tell(again, "c", {"image_auroc": 0.8})
    assert repeated["settings"] == first["settings"]
    found = summarise_trials(open_study(tmp_path, cell.name, seed=0))
    assert sorted(t.value for t in found if t.value) == [0.7, 0.8]
    assert all(t.status == "complete" and t.error is None for t in found)
    assert searcher(cell.name).num_left == 0


def test_equal_distributions_are_kept_once_and_stay_what_they_were(tmp_path: Path) -> None:
    searcher = _searcher(tmp_path)
    _finish(searcher)
    study = searcher._studies["comparer@a"]
    again = open_study(tmp_path, "comparer@b", seed=0)
    expected = JournalStorage(JournalFileBackend(str(make_journal_path(tmp_path, "comparer@a"))))
    assert study.trials == expected.get_all_trials(0)
    ours = {
        id(d) for s in (study, again) for t in s.get_trials(deepcopy=False) for d in t.distributions.values()
    }
    texts = {repr(d) for s in (study, again) for t in s.trials for d in t.distributions.values()}
    assert len(ours) == len(texts)
