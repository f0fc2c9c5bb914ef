"""Search spaces and the opening design."""

import contextlib
from typing import Any

import optuna
import pytest

from dgad.comparer.settings import BUILTIN, STRUCTURE
from dgad.errors import SettingsError
from dgad.methods import METHODS
from dgad.methods.patch_knn import PatchKnnSettings
from dgad.settings import FeatureSettings, from_dict, to_dict
from tune.opening import complete_settings, is_searched, opening_design, params_of
from tune.space import DEMO_SPACES, SPACES, space_for

DRAWN, SHIPPED = FeatureSettings(weights="none"), FeatureSettings(weights="builtin")
TOKENS = FeatureSettings(backbone="test_vit", weights="none")
"""A vision transformer."""


def presets_on(method: str, features: FeatureSettings) -> list[dict[str, Any]]:
    """Those that can be fitted on the features."""
    presets = []
    for preset in METHODS[method].presets.values():
        with contextlib.suppress(SettingsError):
            METHODS[method].check_features(preset, features)
            presets.append(to_dict(preset))
    return presets


def test_every_method_has_a_space() -> None:
    assert set(SPACES) == set(METHODS)
    assert set(DEMO_SPACES) == set(METHODS)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("kind", ["full", "demo"])
@pytest.mark.parametrize("features", [DRAWN, SHIPPED], ids=["none", "builtin"])
def test_whatever_a_space_chooses_is_a_valid_configuration(
    method: str, kind: str, features: FeatureSettings
) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(150):
        chosen = space_for(method, kind, features)(study.ask())
        settings = complete_settings(method, chosen)
        assert {k: settings[k] for k in chosen} == chosen


def test_conditional_parameters_are_asked_only_where_they_matter() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
    for _ in range(150):
        trial = study.ask()
        chosen = SPACES["comparer"](trial, SHIPPED)
        params = trial.params
        assert ("temperature" in params) == (chosen["aggregation"] == "softmin")
        assert ("learning_rate" in params) == (params["num_steps"] > 0)
        assert ("num_synthetic_sources" in params) == (params["num_steps"] > 0)
        assert ("head" in params) == (params["init"] != "builtin")


def test_only_on_builtin_features_a_comparer_may_start_as_shipped_and_then_structure_is_fixed() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    starts = set()
    for _ in range(60):
        trial = study.ask()
        chosen = SPACES["comparer"](trial, SHIPPED)
        starts.add(chosen["init"])
        if chosen["init"] == "builtin":
            assert {name: chosen[name] for name in STRUCTURE} == {n: getattr(BUILTIN, n) for n in STRUCTURE}
            assert not set(STRUCTURE) & set(trial.params)
    assert starts == {"builtin", "difference", "random"}
    other = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    assert {SPACES["comparer"](other.ask(), DRAWN)["init"] for _ in range(60)} == {"difference", "random"}


def test_no_level_is_coarser_than_the_builtin_weights_reach() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=4))
    coarsest = set()
    for _ in range(150):
        chosen = SPACES["comparer"](study.ask(), DRAWN)
        coarsest.add(chosen["finest_stride"] * 2 ** (chosen["num_levels"] - 1))
    assert max(coarsest) == 16


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("features", [DRAWN, SHIPPED], ids=["none", "builtin"])
def test_every_preset_lies_in_the_full_space_and_is_tried_exactly(
    method: str, features: FeatureSettings
) -> None:
    if not is_searched(method, "full", features):
        pytest.skip("nothing to choose")
    presets = presets_on(method, features)
    design = opening_design(method, "full", features, seed=0, num_trials=20)
    assert [point.settings for point in design[: len(presets)]] == presets
    assert not any(point.origin.startswith("preset") for point in design[len(presets) :])
    for point in design[: len(presets)]:
        assert params_of(space_for(method, "full", features), point.settings) == point.params


def test_on_a_vision_transformer_only_what_applies_is_chosen() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=5))
    layers = set()
    for _ in range(60):
        trial = study.ask()
        settings = complete_settings("patch_knn", SPACES["patch_knn"](trial, TOKENS))
        assert not {"finest_stride", "num_levels"} & set(trial.params)
        METHODS["patch_knn"].check_features(from_dict(PatchKnnSettings, settings), TOKENS)
        layers.add(settings["token_layer"])
    assert layers == {-1, -2, -3, -4}
    design = opening_design("patch_knn", "full", TOKENS, seed=0, num_trials=4)
    assert [point.origin for point in design] == ["preset anomalydino", "quasi-random"]


def test_a_setting_outside_the_space_has_no_parameters() -> None:
    settings = to_dict(METHODS["comparer"].presets["robust"])
    space = space_for("comparer", "full", SHIPPED)
    assert params_of(space, {**settings, "num_steps": 61}) is None
    assert params_of(space, {**settings, "learning_rate": 1.0}) is None
    assert params_of(space, {**to_dict(BUILTIN), "width": 32}) is None


def test_the_opening_design_repeats_and_depends_on_the_seed() -> None:
    design = opening_design("comparer", "full", DRAWN, seed=0, num_trials=16)
    assert design == opening_design("comparer", "full", DRAWN, seed=0, num_trials=16)
    assert len(design) == 8
    assert len({str(point.settings) for point in design}) == 8
    assert design[-1] != opening_design("comparer", "full", DRAWN, seed=1, num_trials=16)[-1]


def test_few_trials_are_the_first_presets() -> None:
    (first,) = opening_design("comparer", "full", DRAWN, seed=0, num_trials=1)
    assert first.origin == "preset robust"
    demo = opening_design("comparer", "demo", DRAWN, seed=0, num_trials=4)
    assert [p.origin for p in demo] == ["preset robust", "preset robust_distance"]
    assert all(p.settings["backbone_mode"] == "frozen" for p in demo)


def test_only_methods_with_something_to_choose_are_searched() -> None:
    assert {m for m in METHODS if is_searched(m, "full", DRAWN)} == set(METHODS) - {"trivial"}
