"""The initial design: the first configurations of every cell of a method, chosen without any label.

Because it is the same in every cell, the fits it asks for are shared between cells.
"""

import dataclasses
import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import optuna

from dgad.methods import METHODS, parse_method
from dgad.seeds import seed_for
from dgad.settings import to_dict
from tune.quiet import quiet_optuna
from tune.spaces import SpaceSettings, space_for
from tune.spaces.base import SpaceFunction, complete_settings
from tune.spaces.comparer import DEMO_PRESETS, DEMO_QUICK

_MAX_POINTS = 256


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DesignPoint:
    """One configuration of the initial design."""

    origin: str
    """`preset NAME` or `quasi-random`."""
    params: dict[str, Any]
    """As the space asks for them."""
    settings: dict[str, Any]
    """Complete: a preset keeps also what the space does not ask for."""


def make_initial_design(
    method: str, spaces: SpaceSettings, *, seed: int, num_trials: int
) -> tuple[DesignPoint, ...]:
    """The presets that lie in the space, then quasi-random points up to half of `num_trials`."""
    space = space_for(method, spaces)
    design = list(list_presets_in(method, spaces))[:num_trials]
    wanted = max(len(design), math.ceil(num_trials / 2))
    seen = [point.settings for point in design]
    for params, settings in _quasi_random(method, space, seed_for(seed, method, "opening")):
        if len(design) >= wanted:
            break
        if settings not in seen:
            seen.append(settings)
            design.append(DesignPoint(origin="quasi-random", params=params, settings=settings))
    return tuple(design)


def is_searched(method: str, spaces: SpaceSettings) -> bool:
    """Whether the method's space asks for anything; a study may have fixed it all."""
    params, _ = next(_quasi_random(method, space_for(method, spaces), 0))
    return bool(params)


def make_fixed_settings(label: str, spaces: SpaceSettings) -> dict[str, Any]:
    """Complete settings of a label that is not searched: a preset, or all that its narrowed space leaves."""
    method, _, preset = parse_method(label)
    if ":" in label or method not in spaces.narrowings:
        return to_dict(preset)
    asked_nothing = optuna.trial.FixedTrial({})
    return complete_settings(method, space_for(method, spaces)(asked_nothing))


def find_params(space: SpaceFunction, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The parameters with which `space` chooses what these complete settings hold; None outside it."""
    trial = optuna.trial.FixedTrial(dict(settings))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Optuna's word for a number out of range
            chosen = space(trial)
    except (ValueError, UserWarning):  # ValueError: not among the choices, or not a setting
        return None
    # A space may also set what it does not ask for.
    return dict(trial.params) if all(settings[k] == v for k, v in chosen.items()) else None


def list_presets_in(method: str, spaces: SpaceSettings) -> Iterator[DesignPoint]:
    """The presets that lie in the space, in the order in which they are tried."""
    space, presets = space_for(method, spaces), METHODS[method].presets
    is_demo = method == "comparer" and spaces.kind == "demo"
    for name in DEMO_PRESETS if is_demo else presets:
        settings = to_dict(presets[name])
        if is_demo and settings["init"] != "builtin":
            settings |= DEMO_QUICK
        params = find_params(space, settings)
        if params is not None:
            yield DesignPoint(origin=f"preset {name}", params=params, settings=settings)


def _quasi_random(
    method: str, space: SpaceFunction, seed: int
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Scrambled Sobol points; parameters that depend on others are drawn at random by the same seed."""
    quiet_optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.QMCSampler(
            seed=seed % 2**32, scramble=True, warn_asynchronous_seeding=False, warn_independent_sampling=False
        )
    study = optuna.create_study(sampler=sampler)
    for _ in range(_MAX_POINTS):
        trial = study.ask()
        settings = complete_settings(method, space(trial))
        yield trial.params, settings
        study.tell(trial, 0.0)  # no label is looked at: every point is as good
