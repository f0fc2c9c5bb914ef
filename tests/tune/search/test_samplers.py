"""TPE on a bounded number of trials: the same as ever below the bound, and the best are never forgotten."""

import optuna
import pytest
from optuna.trial import TrialState

from tune.quiet import quiet_optuna
from tune.search import samplers
from tune.search.samplers import BoundedTPE, make_sampler, select_seen

quiet_optuna()


def _searched(sampler: optuna.samplers.BaseSampler, number: int) -> optuna.Study:
    """A study of a small space with a condition, some of whose trials were stopped early."""
    study = optuna.create_study(sampler=sampler, direction="maximize")
    for _ in range(number):
        trial = study.ask()
        x = trial.suggest_float("x", 0.0, 1.0)
        y = trial.suggest_float("y", 1e-4, 1.0, log=True) if trial.suggest_categorical("b", [0, 1]) else 0.5
        value = 1.0 - (x - 0.3) ** 2 - (y - 0.2) ** 2
        if trial.number % 7 == 3:
            trial.report(value, step=1)
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, value)
    return study


def _plain(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(
        multivariate=True, group=True, constant_liar=True, n_startup_trials=1, seed=seed
    )


def test_below_the_bound_it_proposes_what_tpe_does() -> None:
    ours = _searched(make_sampler("tpe", seed=3), 60)
    assert isinstance(ours.sampler, BoundedTPE)
    assert [t.params for t in ours.trials] == [t.params for t in _searched(_plain(3), 60).trials]


def test_past_the_bound_it_sees_no_more_and_still_finds_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers, "NUM_SEEN", 40)
    most: list[int] = []
    split = optuna.samplers._tpe.sampler._split_trials

    def counted(study, trials, num_below):  # type: ignore[no-untyped-def]
        most.append(len(trials))
        return split(study, trials, num_below)

    monkeypatch.setattr(optuna.samplers._tpe.sampler, "_split_trials", counted)
    study = _searched(make_sampler("tpe", seed=0), 120)
    assert max(most) == 39, "forty, and the one that is asked for"
    assert study.best_value > 0.999


def test_the_best_within_bounds_and_the_latest_are_seen() -> None:
    study = _searched(optuna.samplers.RandomSampler(seed=0), 300)
    study.ask()
    study.enqueue_trial({})
    beyond = study.ask()
    beyond.set_constraint("ms", 1.0)
    study.tell(beyond, 5.0)
    study.enqueue_trial({})
    for _ in range(samplers.NUM_SEEN):
        study.tell(study.ask(), 0.0)
    trials = study.get_trials(deepcopy=False)
    found = select_seen(trials, study.direction)
    assert len(found) == samplers.NUM_SEEN
    assert [t.number for t in found] == sorted(t.number for t in found)
    whole = [t for t in trials[:300] if t.state == TrialState.COMPLETE]
    best = sorted(whole, key=lambda t: -t.values[0])[: samplers.NUM_BEST_SEEN]
    assert {t.number for t in best} < {t.number for t in found}
    latest = [t.number for t in trials if t.state != TrialState.WAITING][-100:]
    assert set(latest) < {t.number for t in found}
    assert beyond.number not in {t.number for t in found}, "outside its bound it is none of the best"


def test_a_thousand_that_run_leave_room_for_those_that_are_over() -> None:
    study = _searched(optuna.samplers.RandomSampler(seed=0), 300)
    running = [study.ask().number for _ in range(400)]
    found = {t.number for t in select_seen(study.get_trials(deepcopy=False), study.direction)}
    assert len(found) == samplers.NUM_SEEN
    assert found & set(running) == set(running[-samplers.NUM_RUNNING_SEEN :])
    few = study.get_trials(deepcopy=False)[:150]
    assert select_seen(few, study.direction) == few


def test_with_several_objectives_all_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers, "NUM_SEEN", 3)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=make_sampler("tpe", seed=0))
    for _ in range(8):
        trial = study.ask()
        study.tell(trial, [trial.suggest_float("x", 0.0, 1.0), trial.suggest_float("y", 0.0, 1.0)])
    assert samplers._bounded(study) is study
