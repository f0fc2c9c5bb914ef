"""What a space is told to ask for, against what it does ask for."""

import optuna
import pytest

from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS
from tune.spaces import SpaceSettings, space_for
from tune.spaces.description import SOMETIMES, Parameter, describe_parameters
from tune.spaces.reading import read_spaces

SHIPPED = SpaceSettings(features=FeatureSettings(weights="builtin"))


def _parameters(method: str, settings: SpaceSettings = SHIPPED) -> dict[str, list[Parameter]]:
    found: dict[str, list[Parameter]] = {}
    for parameter in describe_parameters(method, settings).parameters:
        found.setdefault(parameter.name, []).append(parameter)
    return found


@pytest.mark.parametrize("method", sorted(METHODS))
def test_all_that_a_space_asks_is_described_and_every_condition_is_found(method: str) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    asked: set[str] = set()
    for _ in range(200):
        trial = study.ask()
        space_for(method, SHIPPED)(trial)
        asked |= set(trial.params)
    parameters = _parameters(method)
    assert set(parameters) == asked
    assert all(p.where != SOMETIMES for own in parameters.values() for p in own)


def test_conditions_and_values_read_as_the_code_has_them() -> None:
    told = {name: [(p.values, p.where) for p in own] for name, own in _parameters("comparer").items()}
    assert told["init"] == [("difference, random, builtin", "")]
    assert told["temperature"] == [("0.05 to 2 (by orders of magnitude)", "`aggregation` is softmin")]
    assert told["density_correction"] == [("false, true", "`head` is distance and `aggregation` is min")]
    assert told["anchor_weight"] == [("0, 0.001, 0.01, 0.1, 1", "`num_steps` is not 0")]
    assert sorted(told["num_levels"]) == [
        ("1 to 2 (whole, evenly)", "`finest_stride` is 8"),
        ("1 to 3 (whole, evenly)", "`init` is not builtin and `finest_stride` is 4"),
    ]


def test_a_narrowed_space_is_described_as_it_is() -> None:
    narrowings = read_spaces({"comparer": {"init": "difference", "num_steps": 0, "width": [32, 64]}})
    settings = SpaceSettings(features=SHIPPED.features, narrowings=narrowings)
    description = describe_parameters("comparer", settings)
    assert description.fixed == {"init": "difference", "num_steps": 0}
    told = {p.name: p for p in description.parameters}
    assert not {"init", "num_steps", "learning_rate"} & set(told)
    assert (told["width"].values, told["width"].where) == ("32, 64", "")
