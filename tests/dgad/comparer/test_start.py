"""Where a comparer starts: the builtin one, whole, on its own features and with its own structure."""

import dataclasses
from pathlib import Path

import pytest
import torch

from dgad.bundle import load_method, write_bundle
from dgad.comparer.settings import BUILTIN, PRESETS, STRUCTURE, ComparerSettings
from dgad.comparer.start import check_start
from dgad.errors import SettingsError, UserError, WeightsError
from dgad.features import builtin
from dgad.features.builtin import Builtin
from dgad.features.settings import FeatureSettings
from dgad.methods.comparer import ComparerMethod
from tests.dgad.methods.surfaces import context, source, surface

FEATURES = FeatureSettings(weights="builtin")


def fitted(settings: ComparerSettings, seed: int = 0) -> ComparerMethod:
    method = ComparerMethod(settings, context("builtin"))
    method.fit([source("a", 6), source("b", 9, seed=5)], seed=seed)
    return method


def test_used_as_it_is_the_comparer_holds_the_shipped_weights(builtin_weights: Builtin) -> None:
    state = fitted(BUILTIN, seed=3).state()
    parts = {"backbone.body.": builtin_weights.backbone, "comparer.": builtin_weights.comparer}
    for prefix, shipped in parts.items():
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        assert own
        for name, value in own.items():
            torch.testing.assert_close(value, shipped[name], rtol=0, atol=0)


def test_adapted_it_starts_there_and_stays_near(builtin_weights: Builtin) -> None:
    quick = dataclasses.replace(PRESETS["adapted"], num_steps=3, num_reference_patches=32)
    moved = fitted(quick).comparer.state_dict()
    assert any(not torch.equal(moved[k], v) for k, v in builtin_weights.comparer.items())
    for name, value in builtin_weights.comparer.items():
        torch.testing.assert_close(moved[name], value, rtol=0, atol=0.01)


@pytest.mark.parametrize("name", ["builtin", "adapted", "many"])
def test_the_presets_differ_from_the_shipped_comparer_in_no_structure(
    name: str, builtin_weights: Builtin
) -> None:
    check_start(PRESETS[name], FEATURES)
    assert all(getattr(PRESETS[name], s) == getattr(BUILTIN, s) for s in STRUCTURE)


def test_every_differing_setting_is_named_with_both_values(builtin_weights: Builtin) -> None:
    other = dataclasses.replace(
        BUILTIN, num_levels=1, head="mlp", density_correction=False, learning_rate=1e-5
    )
    with pytest.raises(SettingsError) as caught:
        check_start(other, FEATURES)
    message = str(caught.value)
    assert f"`num_levels` must be {BUILTIN.num_levels}, but got 1" in message
    assert f"`head` must be {BUILTIN.head}, but got mlp" in message
    assert "learning_rate" not in message
    with pytest.raises(SettingsError, match="`num_levels` must be"):
        ComparerMethod(other, context("builtin")).fit([], seed=0)


@pytest.mark.parametrize("weights", ["none", "timm"])
def test_other_features_are_refused_where_a_fit_begins(weights: str, builtin_weights: Builtin) -> None:
    with pytest.raises(SettingsError, match=f"`weights` must be builtin, but got '{weights}'"):
        check_start(BUILTIN, FeatureSettings(weights=weights))
    with pytest.raises(UserError, match="`weights` must be builtin"):
        ComparerMethod(BUILTIN, context("none")).fit([], seed=0)
    check_start(dataclasses.replace(BUILTIN, init="difference"), FeatureSettings(weights=weights))


def test_a_comparer_that_does_not_fit_its_own_settings_is_refused(
    builtin_weights: Builtin, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = dataclasses.replace(builtin_weights, comparer={"x": torch.zeros(1)})
    monkeypatch.setattr(builtin, "_shipped", lambda: broken)
    with pytest.raises(WeightsError, match="does not fit the settings it carries"):
        fitted(BUILTIN)


def test_its_bundle_loads_without_the_shipped_weights(
    builtin_weights: Builtin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    method = fitted(BUILTIN)
    references, queries = surface(3, 12, defect=False, seed=40), surface(3, 12, defect=True, seed=60)
    expected = method.score(queries, method.enroll(references)).image
    write_bundle(tmp_path / "b", method, metrics={}, card="", provenance={"training_domains": []})

    def missing() -> Builtin:
        raise WeightsError("there are none")

    monkeypatch.setattr(builtin, "_shipped", missing)
    loaded = load_method(tmp_path / "b", torch.device("cpu"))
    assert torch.equal(loaded.score(queries, loaded.enroll(references)).image, expected)
