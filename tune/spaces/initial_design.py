"""The initial design: the first configurations of every cell of a method, chosen without any label.

Because it is the same in every cell, the fits it asks for are shared between cells.
"""

import dataclasses
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import optuna

from dgad.methods import METHODS, parse_method
from dgad.seeds import seed_for
from dgad.settings import to_dict
from tune.quiet import quiet_optuna
from tune.spaces import SpaceSettings, list_variants, space_for
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
    combinations = list(spaces.choices_for(method).combinations())
    turns = [combinations[(len(design) + i) % len(combinations)] for i in range(len(combinations))]
    for params, settings in _quasi_random(method, space, seed_for(seed, method, "opening"), turns):
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
    if ":" in label or (method not in spaces.narrowings and not spaces.lists.choices):
        return to_dict(preset)
    asked_nothing = optuna.trial.FixedTrial({})
    return complete_settings(method, space_for(method, spaces)(asked_nothing))


def find_params(
    space: SpaceFunction,
    settings: Mapping[str, Any],
    variants: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, Any] | None:
    """The parameters with which `space` chooses what these complete settings hold; None outside it.

    `variants` are further names under which it asks for a setting.
    """
    further = {variant: settings[name] for name, names in variants.items() for variant in names}
    trial = optuna.trial.FixedTrial({**settings, **further})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Optuna's word for a number out of range
            chosen = space(trial)
    except (ValueError, UserWarning):  # ValueError: not among the choices, or not a setting
        return None
    # A space may also set what it does not ask for.
    return dict(trial.params) if all(settings[k] == v for k, v in chosen.items()) else None


def list_presets_in(method: str, spaces: SpaceSettings) -> Iterator[DesignPoint]:
    """The presets that lie in the space, in the order in which they are tried.

    Where features are searched the combinations take turns: each preset goes to the first, from its turn on,
    that has it in its space.
    """
    space, presets = space_for(method, spaces), METHODS[method].presets
    variants = list_variants(method, spaces)
    combinations = list(spaces.choices_for(method).combinations())
    turn = 0
    is_demo = method == "comparer" and spaces.kind == "demo"
    for name in DEMO_PRESETS if is_demo else presets:
        settings = to_dict(presets[name])
        if is_demo and settings["init"] != "builtin":
            settings |= DEMO_QUICK
        for position in range(turn, turn + len(combinations)):
            own = {**settings, **combinations[position % len(combinations)]}
            params = find_params(space, own, variants)
            if params is not None:
                yield DesignPoint(origin=f"preset {name}", params=params, settings=own)
                turn = position + 1
                break


def _quasi_random(
    method: str, space: SpaceFunction, seed: int, combinations: Sequence[Mapping[str, Any]] = ({},)
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Scrambled Sobol points; parameters that depend on others are drawn at random by the same seed.

    Of searched features the combinations take turns, so that few points try each.
    """
    quiet_optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.QMCSampler(
            seed=seed % 2**32, scramble=True, warn_asynchronous_seeding=False, warn_independent_sampling=False
        )
    study = optuna.create_study(sampler=sampler)
    for number in range(_MAX_POINTS):
        chosen = combinations[number % len(combinations)]
        if chosen:
            study.enqueue_trial(dict(chosen))
        trial = study.ask()
        settings = complete_settings(method, space(trial))
        yield trial.params, settings
        study.tell(trial, 0.0)  # no label is looked at: every point is as good
