"""Every method's space: valid configurations, conditions, what features allow."""

import optuna
import pytest

from dgad.comparer.settings import BUILTIN, STRUCTURE
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS
from dgad.methods.patch_knn import PatchKnnSettings
from dgad.settings import from_dict
from tune.spaces import DEMO_SPACES, SPACES, SpaceKind, SpaceSettings, space_for
from tune.spaces.base import complete_settings
from tune.spaces.initial_design import make_initial_design

DRAWN, SHIPPED = FeatureSettings(weights="none"), FeatureSettings(weights="builtin")
TOKENS = FeatureSettings(backbone="test_vit", weights="none")
"""A vision transformer."""


def test_every_method_has_a_space() -> None:
    assert set(SPACES) == set(METHODS)
    assert set(DEMO_SPACES) == set(METHODS)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("kind", ["full", "demo"])
@pytest.mark.parametrize("features", [DRAWN, SHIPPED], ids=["none", "builtin"])
def test_whatever_a_space_chooses_is_a_valid_configuration(
    method: str, kind: SpaceKind, features: FeatureSettings
) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(150):
        chosen = space_for(method, SpaceSettings(kind=kind, features=features))(study.ask())
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
    design = make_initial_design("patch_knn", SpaceSettings(features=TOKENS), seed=0, num_trials=4)
    assert [point.origin for point in design] == ["preset anomalydino", "quasi-random"]
