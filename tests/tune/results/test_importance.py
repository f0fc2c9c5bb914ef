"""How much a setting mattered, where one alone decides."""

import optuna
import pytest

from tune.results.importance import FEWEST_TRIALS, estimate_importance


def searched(num_trials: int, value=lambda trial: trial.params["decides"], objectives=1):  # type: ignore[no-untyped-def]
    study = optuna.create_study(
        directions=["maximize"] * objectives, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    for _ in range(num_trials):
        trial = study.ask()
        trial.suggest_float("decides", 0, 1)
        trial.suggest_float("idle", 0, 1)
        trial.suggest_categorical("choice", ["a", "b"])
        study.tell(trial, [value(trial)] * objectives)
    return study


@pytest.mark.parametrize("objectives", [1, 2])
def test_the_setting_that_decides_comes_first_and_shares_add_up(objectives: int) -> None:
    found = estimate_importance(searched(24, objectives=objectives), seed=0)
    assert list(found) == sorted(found, key=lambda name: -found[name])
    assert found["decides"] > 0.9
    assert sum(found.values()) == pytest.approx(1)
    assert found == estimate_importance(searched(24, objectives=objectives), seed=0)


def test_too_little_to_tell_is_empty() -> None:
    assert estimate_importance(searched(FEWEST_TRIALS - 1), seed=0) == {}
    assert estimate_importance(searched(12, value=lambda trial: 0.5), seed=0) == {}
    assert estimate_importance(optuna.create_study(), seed=0) == {}


def test_trials_that_have_no_setting_in_common_tell_nothing() -> None:
    study = optuna.create_study()
    for number in range(12):
        trial = study.ask()
        trial.suggest_float(f"only{number}", 0, 1)
        study.tell(trial, number)
    assert estimate_importance(study, seed=0) == {}
