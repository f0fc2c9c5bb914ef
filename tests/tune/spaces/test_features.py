"""Scales, tiles and backbones as part of a configuration."""

import dataclasses

import optuna
import pytest

from dgad.errors import SettingsError
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS
from dgad.settings import from_dict
from tune.quiet import quiet_optuna
from tune.spaces import SpaceSettings, space_for
from tune.spaces.description import describe_parameters
from tune.spaces.features import NAMES, FeatureLists, choose_features, split_configuration
from tune.spaces.initial_design import is_searched, make_initial_design
from tune.study.settings import Study, make_study

DRAWN = FeatureSettings(weights="none")
TWO_SCALES = SpaceSettings(features=DRAWN, lists=FeatureLists(scale=("fit 64", "native")))
TWO_BACKBONES = SpaceSettings(features=DRAWN, lists=FeatureLists(backbone=("resnet18", "test_vit")))


def test_no_method_has_a_setting_that_is_called_like_a_searched_feature() -> None:
    for method in METHODS.values():
        assert not {f.name for f in dataclasses.fields(method.settings_type)} & set(NAMES)


def test_a_configuration_is_split_into_settings_and_features() -> None:
    study = Study(name="x", weights="none", scale="fit 64", search_scale=("fit 64", "native"))
    settings, features = study.split({"neighbourhood": 3, "scale": "native", "tile_px": 64})
    assert settings == {"neighbourhood": 3}
    assert features == dataclasses.replace(study.features, scale="native", tile_px=64)
    assert study.split({"neighbourhood": 3}) == ({"neighbourhood": 3}, study.features)
    assert split_configuration({})[1] == {}


def test_a_backbone_is_chosen_with_the_study_s_weights_or_with_its_own() -> None:
    own = choose_features(DRAWN, {"backbone": "resnet34 /some where/w.safetensors"})
    assert (own.backbone, own.weights) == ("resnet34", "/some where/w.safetensors")
    assert choose_features(DRAWN, {"backbone": "resnet34"}).weights == "none"


def test_a_second_backbone_is_chosen_behind_a_plus() -> None:
    chosen = choose_features(DRAWN, {"backbone": "resnet34 timm + resnet18 /a + b/w.safetensors 8+16"})
    assert (chosen.backbone, chosen.weights) == ("resnet34", "timm")
    assert str(chosen.second) == "resnet18 /a + b/w.safetensors 8+16"
    lists = FeatureLists(backbone=("resnet18", "resnet18 + resnet34 none 8"))
    joined = SpaceSettings(features=DRAWN, lists=lists)
    assert list(joined.choices_for("comparer").left_out) == ["backbone resnet18 + resnet34 none 8"]
    assert joined.choices_for("patch_knn").left_out == {}
    with pytest.raises(SettingsError, match="`second_backbone` must be"):
        make_study({"data": "x", "search_backbone": ("resnet18", "resnet18 + resnet34")})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"search_scale": ("native",)}, "`search_scale` must have at least two.*give that as `scale`"),
        ({"search_scale": ("native", "1.0")}, "`search_scale` must be without repetition, but has native"),
        ({"search_scale": ("fit 64", "small")}, "`search_scale` must be .*`native`, a factor"),
        ({"search_tile_px": (256, 100)}, "`search_tile_px` must be a multiple of 32"),
        ({"search_backbone": ("resnet18", "resnet18")}, "`search_backbone` must be without repetition"),
    ],
)
def test_a_list_that_cannot_be_searched_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make_study({"data": "x", **values})


def test_without_lists_a_space_asks_what_it_always_did() -> None:
    plain = SpaceSettings(features=DRAWN)
    trials = [optuna.trial.FixedTrial(point.params) for point in _design("patch_knn", plain)]
    assert not any(set(space_for("patch_knn", plain)(trial)) & set(NAMES) for trial in trials)
    assert [p.settings for p in _design("patch_knn", plain)] == [
        split_configuration(p.settings)[0] for p in _design("patch_knn", TWO_SCALES)
    ][:8]


def _design(method: str, settings: SpaceSettings):  # type: ignore[no-untyped-def]
    return [
        p
        for p in make_initial_design(method, settings, seed=0, num_trials=8)
        if p.origin.startswith("preset")
    ]


def test_presets_take_turns_on_the_scales_so_that_few_trials_try_all_of_them() -> None:
    scales = [p.settings["scale"] for p in make_initial_design("comparer", TWO_SCALES, seed=0, num_trials=4)]
    assert scales == ["fit 64", "native"] * 2


def test_a_method_with_nothing_else_to_choose_is_searched_for_its_features() -> None:
    assert not is_searched("trivial", SpaceSettings(features=DRAWN))
    assert is_searched("trivial", TWO_SCALES)


def test_a_backbone_that_a_method_cannot_be_had_on_is_left_out_of_its_search_alone() -> None:
    comparer = TWO_BACKBONES.choices_for("comparer")
    assert comparer.lists == {"backbone": ("resnet18",)}
    assert "feature maps of one stride only" in comparer.left_out["backbone test_vit"]
    assert TWO_BACKBONES.choices_for("patch_knn").lists == {"backbone": ("resnet18", "test_vit")}
    only = dataclasses.replace(TWO_BACKBONES, lists=FeatureLists(backbone=("resnet34", "test_vit")))
    design = make_initial_design("comparer", only, seed=0, num_trials=6)
    assert {point.settings["backbone"] for point in design} == {"resnet34"}
    assert "backbone" not in design[-1].params


def test_on_several_backbones_each_has_its_own_choices_and_every_configuration_can_be_had() -> None:
    quiet_optuna()
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, multivariate=True, group=True))
    space, seen = space_for("patch_knn", TWO_BACKBONES), set()
    for number in range(24):
        trial = study.ask()
        settings, chosen = split_configuration(space(trial))
        features = choose_features(DRAWN, chosen)
        METHODS["patch_knn"].check_features(from_dict(METHODS["patch_knn"].settings_type, settings), features)
        seen.add(features.backbone)
        study.tell(trial, float(number))
    assert seen == {"resnet18", "test_vit"}
    design = make_initial_design("patch_knn", TWO_BACKBONES, seed=0, num_trials=4)
    assert {p.settings["backbone"] for p in design if p.origin.startswith("preset")} == seen


def test_the_description_of_a_space_tells_under_which_backbone_a_setting_has_which_choices() -> None:
    parameters = describe_parameters("patch_knn", TWO_BACKBONES).parameters
    found = {p.name: p for p in parameters}
    assert found["backbone"].values == "resnet18, test_vit"
    assert found["token_layer"].where == "`backbone` is test_vit"
    assert found["neighbourhood (1, 3)"].where == "`backbone` is test_vit"
