"""A narrowed space, drawn from by every kind of sampler."""

from collections.abc import Iterator
from typing import Any

import optuna
import pytest

from dgad.comparer.settings import BUILTIN, STRUCTURE
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS
from tune.quiet import quiet_optuna
from tune.search.samplers import make_sampler
from tune.spaces import SPACES, SpaceKind, SpaceSettings, build_whole_space, space_for
from tune.spaces.base import complete_settings
from tune.spaces.checks import check_spaces
from tune.spaces.reading import read_spaces
from tune.spaces.walk import walk

NUM_DRAWS = 200
SHIPPED = FeatureSettings(weights="builtin")


def _draws(
    method: str,
    narrowing: dict[str, Any],
    *,
    sampler: str = "random",
    kind: SpaceKind = "full",
    features: FeatureSettings = SHIPPED,
    num_draws: int = NUM_DRAWS,
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(what Optuna was asked, complete settings) of draws from a space that the checks let through."""
    spaces = SpaceSettings(kind=kind, features=features, narrowings=read_spaces({method: narrowing}))
    check_spaces(spaces)
    space = space_for(method, spaces)
    quiet_optuna()
    samplers: dict[str, Any] = {
        "quasi-random": lambda: optuna.samplers.QMCSampler(seed=1, warn_independent_sampling=False),
        "tpe": lambda: make_sampler("tpe", seed=1),
        "random": lambda: make_sampler("random", seed=1),
    }
    study = optuna.create_study(sampler=samplers[sampler]())
    for number in range(num_draws):
        trial = study.ask()
        settings = complete_settings(method, space(trial))
        yield trial.params, settings
        study.tell(trial, (number * 37 % 11) / 11)


@pytest.mark.parametrize(("sampler", "num_draws"), [("random", 300), ("quasi-random", 300), ("tpe", 100)])
def test_every_sampler_stays_within_what_is_narrowed_and_reaches_what_is_added(
    sampler: str, num_draws: int
) -> None:
    narrowing = {
        "init": ["difference", "random"],
        "aggregation": "min",
        "ranking_weight": [0.05, 0.3],  # 0.05 is none of the space's
        "num_steps": [60, 200],
        "learning_rate": {"low": 1e-5, "high": 1e-3},  # the space begins at 1e-4
        "anchor_weight": {"low": 0.0, "high": 0.5},  # the space has steps
        "domains_per_step": {"low": 2, "high": 6},  # the space ends at 3
        "width": [32, 64],  # the space does not ask for it
        "bifpn_layers": 2,
    }
    seen: dict[str, list[Any]] = {name: [] for name in narrowing}
    for params, settings in _draws("comparer", narrowing, sampler=sampler, num_draws=num_draws):
        assert not {"aggregation", "bifpn_layers"} & set(params), "what is fixed must not be asked"
        for name, values in seen.items():
            values.append(settings[name])
    assert set(seen["init"]) == {"difference", "random"}
    assert set(seen["aggregation"]) == {"min"}
    assert set(seen["ranking_weight"]) == {0.05, 0.3}
    assert set(seen["num_steps"]) == {60, 200}
    assert 1e-5 <= min(seen["learning_rate"]) < 1e-4
    assert max(seen["learning_rate"]) <= 1e-3
    assert 0.0 <= min(seen["anchor_weight"]) < max(seen["anchor_weight"]) <= 0.5
    assert len(set(seen["anchor_weight"])) > 10
    assert set(seen["domains_per_step"]) <= {2, 3, 4, 5, 6}
    assert max(seen["domains_per_step"]) > 3
    assert set(seen["width"]) == {32, 64}
    assert set(seen["bifpn_layers"]) == {2}


def test_a_range_is_drawn_as_the_space_draws_unless_told() -> None:
    lows = {}
    for log in (None, False):
        narrowing = {"learning_rate": {"low": 1e-5, "high": 1e-1} | ({} if log is None else {"log": log})}
        rates = [s["learning_rate"] for _, s in _draws("agg", narrowing)]
        lows[log] = sum(rate < 1e-3 for rate in rates) / len(rates)
    assert lows[None] == pytest.approx(0.5, abs=0.1)
    assert lows[False] == pytest.approx(0.01, abs=0.03)
    decays = [s["weight_decay"] for _, s in _draws("agg", {"weight_decay": {"low": 1e-5, "high": 1e-1}})]
    assert sum(decay < 1e-3 for decay in decays) / len(decays) < 0.05, "the space has no scale for it"


def test_conditions_follow_a_fixed_parent() -> None:
    for params, settings in _draws("comparer", {"num_steps": 0, "aggregation": "softmin", "init": "random"}):
        assert not {"learning_rate", "backbone_mode", "density_correction"} & set(params)
        assert "temperature" in params
        assert settings["num_steps"] == 0
    for params, settings in _draws("comparer", {"init": "builtin"}):
        assert not set(STRUCTURE) & set(params)
        assert {name: settings[name] for name in STRUCTURE} == {n: getattr(BUILTIN, n) for n in STRUCTURE}


def test_a_conditional_setting_is_fixed_where_it_has_a_meaning_and_keeps_its_default_elsewhere() -> None:
    seen = set()
    for params, settings in _draws("comparer", {"temperature": 0.3, "learning_rate": 0.002}):
        assert not {"temperature", "learning_rate"} & set(params)
        assert settings["temperature"] == (0.3 if settings["aggregation"] == "softmin" else 1.0)
        assert settings["learning_rate"] == (0.002 if settings["num_steps"] else 3e-4)
        seen.add((settings["aggregation"], settings["num_steps"] > 0))
    assert len(seen) == 6


def test_what_the_space_sets_itself_stays_where_it_is_allowed() -> None:
    heads: dict[str, set[str]] = {}
    for _, settings in _draws("comparer", {"head": ["distance", "mlp"]}):
        heads.setdefault(settings["init"], set()).add(settings["head"])
    assert heads["builtin"] == {"distance"}
    assert heads["difference"] == {"distance", "mlp"}


def test_what_the_space_sets_itself_is_replaced_where_it_is_not_allowed() -> None:
    steps: dict[str, set[int]] = {}
    narrowing = {"num_steps": [0, 20, 60], "backbone_mode": "fine_tuned"}
    for params, settings in _draws("comparer", narrowing, kind="demo"):  # sets 30, and frozen
        assert settings["num_steps"] == params["num_steps"]
        assert settings["backbone_mode"] == "fine_tuned"
        steps.setdefault(settings["init"], set()).add(settings["num_steps"])
    assert steps == {"builtin": {0, 20, 60}, "difference": {0, 20, 60}}


def test_a_fixed_start_holds_also_where_the_space_would_not_tell_it_from_another() -> None:
    heads = {s["head"] for _, s in _draws("comparer", {"init": "random"}) if s["init"] == "random"}
    assert heads == {"mlp", "distance", "mlp_difference"}


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"trivial"}))
def test_all_that_a_draw_was_asked_can_be_fixed_to_what_it_chose(method: str) -> None:
    for walked in walk(build_whole_space(method, "full", SHIPPED), num_walks=10):
        fixed = {name: walked.chosen[name] for name in walked.questions}
        ((params, settings),) = _draws(method, fixed, num_draws=1)
        assert params == {}
        assert settings == complete_settings(method, walked.chosen)


def test_a_space_that_is_not_narrowed_asks_as_before() -> None:
    whole = SpaceSettings(features=SHIPPED, narrowings=read_spaces({"patch_knn": {"neighbourhood": 3}}))
    one, other = (optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)) for _ in range(2))
    for _ in range(20):
        expected = one.ask()
        SPACES["comparer"](expected, SHIPPED)
        trial = other.ask()
        space_for("comparer", whole)(trial)
        assert trial.params == expected.params
