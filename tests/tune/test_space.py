"""Search spaces and the opening design."""

import optuna
import pytest

from dgad.methods import METHODS
from dgad.settings import to_dict
from tune.opening import complete_settings, is_searched, opening_design, params_of
from tune.space import DEMO_SPACES, SPACES, space_for


def test_every_method_has_a_space() -> None:
    assert set(SPACES) == set(METHODS)
    assert set(DEMO_SPACES) == set(METHODS)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("kind", ["full", "demo"])
def test_whatever_a_space_chooses_is_a_valid_configuration(method: str, kind: str) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(150):
        chosen = space_for(method, kind)(study.ask())
        settings = complete_settings(method, chosen)
        assert {k: settings[k] for k in chosen} == chosen


def test_conditional_parameters_are_asked_only_where_they_matter() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
    for _ in range(150):
        trial = study.ask()
        SPACES["comparer"](trial)
        params = trial.params
        assert ("temperature" in params) == (params["aggregation"] == "softmin")
        assert ("learning_rate" in params) == (params["num_steps"] > 0)
        assert ("init" in params) == (params["head"] != "distance")


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_preset_lies_in_the_full_space_and_is_tried_exactly(method: str) -> None:
    if not is_searched(method, "full"):
        pytest.skip("nothing to choose")
    presets = [to_dict(p) for p in METHODS[method].presets.values()]
    design = opening_design(method, "full", seed=0, num_trials=20)
    assert [point.settings for point in design[: len(presets)]] == presets
    for point in design[: len(presets)]:
        assert params_of(SPACES[method], point.settings) == point.params


def test_a_setting_outside_the_space_has_no_parameters() -> None:
    settings = to_dict(METHODS["comparer"].presets["robust"])
    assert params_of(SPACES["comparer"], {**settings, "num_steps": 61}) is None
    assert params_of(SPACES["comparer"], {**settings, "learning_rate": 1.0}) is None


def test_the_opening_design_repeats_and_depends_on_the_seed() -> None:
    design = opening_design("comparer", "full", seed=0, num_trials=16)
    assert design == opening_design("comparer", "full", seed=0, num_trials=16)
    assert len(design) == 8
    assert len({str(point.settings) for point in design}) == 8
    assert design[-1] != opening_design("comparer", "full", seed=1, num_trials=16)[-1]


def test_few_trials_are_the_first_presets() -> None:
    assert [p.origin for p in opening_design("comparer", "full", seed=0, num_trials=1)] == ["preset robust"]
    demo = opening_design("comparer", "demo", seed=0, num_trials=4)
    assert [p.origin for p in demo] == ["preset robust", "preset robust_distance"]
    assert all(p.settings["backbone_mode"] == "frozen" for p in demo)


def test_only_methods_with_something_to_choose_are_searched() -> None:
    assert {m for m in METHODS if is_searched(m, "full")} == {"comparer", "patch_knn"}
