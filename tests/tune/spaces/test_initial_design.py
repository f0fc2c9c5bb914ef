"""The initial design: presets first, then points that any cell would ask for."""

import contextlib
import dataclasses
from typing import Any

import pytest

from dgad.comparer.settings import BUILTIN
from dgad.errors import SettingsError
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS
from dgad.settings import to_dict
from tune.spaces import SpaceSettings, space_for
from tune.spaces.initial_design import find_params, is_searched, make_fixed_settings, make_initial_design
from tune.spaces.reading import read_spaces

DRAWN = SpaceSettings(features=FeatureSettings(weights="none"))
SHIPPED = SpaceSettings(features=FeatureSettings(weights="builtin"))


def presets_on(method: str, features: FeatureSettings) -> list[dict[str, Any]]:
    """Those that can be fitted on the features."""
    presets = []
    for preset in METHODS[method].presets.values():
        with contextlib.suppress(SettingsError):
            METHODS[method].check_features(preset, features)
            presets.append(to_dict(preset))
    return presets


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"trivial"}))  # which has nothing to choose
@pytest.mark.parametrize("spaces", [DRAWN, SHIPPED], ids=["none", "builtin"])
def test_every_preset_lies_in_the_full_space_and_is_tried_exactly(method: str, spaces: SpaceSettings) -> None:
    assert is_searched(method, spaces)
    presets = presets_on(method, spaces.features)
    design = make_initial_design(method, spaces, seed=0, num_trials=20)
    assert [point.settings for point in design[: len(presets)]] == presets
    assert not any(point.origin.startswith("preset") for point in design[len(presets) :])
    for point in design[: len(presets)]:
        assert find_params(space_for(method, spaces), point.settings) == point.params


def test_a_setting_outside_the_space_has_no_parameters() -> None:
    settings = to_dict(METHODS["comparer"].presets["robust"])
    space = space_for("comparer", SHIPPED)
    assert find_params(space, {**settings, "num_steps": 61}) is None
    assert find_params(space, {**settings, "learning_rate": 1.0}) is None
    assert find_params(space, {**to_dict(BUILTIN), "width": 32}) is None


def test_the_initial_design_repeats_and_depends_on_the_seed() -> None:
    design = make_initial_design("comparer", DRAWN, seed=0, num_trials=16)
    assert design == make_initial_design("comparer", DRAWN, seed=0, num_trials=16)
    assert len(design) == 8
    assert len({str(point.settings) for point in design}) == 8
    assert design[-1] != make_initial_design("comparer", DRAWN, seed=1, num_trials=16)[-1]


def test_few_trials_are_the_first_presets() -> None:
    (first,) = make_initial_design("comparer", DRAWN, seed=0, num_trials=1)
    assert first.origin == "preset robust"
    demo = make_initial_design("comparer", dataclasses.replace(DRAWN, kind="demo"), seed=0, num_trials=4)
    assert [p.origin for p in demo] == ["preset robust", "preset robust_distance"]
    assert all(p.settings["backbone_mode"] == "frozen" for p in demo)


def test_only_methods_with_something_to_choose_are_searched() -> None:
    assert {m for m in METHODS if is_searched(m, DRAWN)} == set(METHODS) - {"trivial"}


def _narrowed(method: str, **settings: Any) -> SpaceSettings:
    return dataclasses.replace(SHIPPED, narrowings=read_spaces({method: settings}))


def test_presets_outside_a_narrowed_space_are_left_out_and_the_others_still_come_first() -> None:
    spaces = _narrowed("comparer", init=["difference", "builtin"], num_steps=[0, 60])
    design = make_initial_design("comparer", spaces, seed=0, num_trials=20)
    presets = ["robust", "robust_distance", "untrained", "builtin"]  # adapted takes 40 steps
    assert [p.origin for p in design] == [f"preset {name}" for name in presets] + ["quasi-random"] * 6
    for point, name in zip(design, presets, strict=False):
        assert point.settings == to_dict(METHODS["comparer"].presets[name])
        assert find_params(space_for("comparer", spaces), point.settings) == point.params
    for point in design[len(presets) :]:
        assert point.settings["init"] != "random"
        assert point.settings["num_steps"] in (0, 60)


def test_a_narrowed_space_without_a_preset_opens_with_quasi_random_points() -> None:
    spaces = _narrowed("comparer", init="difference", width=32)
    design = make_initial_design("comparer", spaces, seed=0, num_trials=8)
    assert [p.origin for p in design] == ["quasi-random"] * 4
    assert {p.settings["width"] for p in design} == {32}


@pytest.mark.parametrize(
    "settings",
    [
        {"num_steps": 0, "init": "builtin", "score_pooling": "max", "density_correction": True},
        {"num_steps": 0, "init": "builtin", "score_pooling": "max", "density_correction": [True]},
    ],
)
def test_a_space_in_which_all_is_fixed_is_one_configuration_and_not_searched(
    settings: dict[str, Any],
) -> None:
    spaces = _narrowed("comparer", **settings)
    assert not is_searched("comparer", spaces)
    fixed = make_fixed_settings("comparer", spaces)
    # What is neither fixed nor asked for has its default.
    as_started = {"score_pooling": "max", "top_fraction": 0.01, "backbone_mode": "fine_tuned"}
    assert fixed == {**to_dict(BUILTIN), **as_started}
    (only,) = make_initial_design("comparer", spaces, seed=0, num_trials=9)
    assert (only.params, only.settings) == ({}, fixed)


def test_a_preset_is_fixed_as_it_is_whatever_the_study_narrows() -> None:
    spaces = _narrowed("comparer", num_steps=0)
    assert make_fixed_settings("comparer:paper", spaces) == to_dict(METHODS["comparer"].presets["paper"])
    assert make_fixed_settings("patch_knn", spaces) == to_dict(METHODS["patch_knn"].presets["default"])
