"""A narrowed space is refused before anything is started where it holds what its method cannot have."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from dgad.errors import SettingsError, UserError
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS
from dgad.settings import from_dict, to_dict
from tune.spaces import SpaceSettings, space_for
from tune.spaces.base import default_settings
from tune.spaces.conditions import Condition, find_conditions, join_conditions
from tune.spaces.features import choose_features, split_configuration
from tune.spaces.narrowing import Narrowing
from tune.spaces.walk import Walked, list_asked, walk


def check_spaces(settings: SpaceSettings) -> None:
    """Walk every narrowed space; `SettingsError` names the line for a configuration that cannot be had.

    A method that cannot be had on the features at all is not the narrowing's fault, and is left alone.
    """
    for method, narrowing in settings.narrowings.items():
        try:
            walks = tuple(walk(space_for(method, settings)))
        except SettingsError as error:
            raise SettingsError(f"{_place(narrowing, str(error))}{error}") from None
        features = settings.features if _is_to_be_had(method, settings) else None
        _check_never_set(method, narrowing, walks)
        reasons = [_why_not(method, walked.chosen, features) for walked in walks]
        reason = next((reason for reason in reasons if reason), None)
        if reason is None:
            continue
        own = [r == reason for r in reasons]
        where = _conditions(method, walks, list(map(bool, reasons))) or _conditions(method, walks, own)
        told = f" where {join_conditions(where)}" if where else ""
        raise SettingsError(
            f"{_place(narrowing, reason)}`spaces.{method}` allows what `{method}` cannot have{told}: {reason}"
        )


def _check_never_set(method: str, narrowing: Narrowing, walks: Sequence[Walked]) -> None:
    """What no configuration has, because another restriction leaves no place for it, is checked by itself."""
    for name, restriction in narrowing.restrictions.items():
        if any(name in walked.chosen for walked in walks):
            continue
        for value in restriction.examples:
            presets = map(to_dict, METHODS[method].presets.values())
            reasons = [_why_not(method, {**preset, name: value}, None) for preset in presets]
            if all(reasons):
                raise SettingsError(f"{_place(narrowing, f'`{name}`')}`spaces.{method}`: {reasons[0]}")


def _why_not(method: str, chosen: Mapping[str, Any], features: FeatureSettings | None) -> str | None:
    own, of_features = split_configuration(chosen)
    try:
        settings = from_dict(METHODS[method].settings_type, own)
        if features is not None:
            METHODS[method].check_features(settings, choose_features(features, of_features))
    except UserError as error:
        return str(error)
    return None


def _is_to_be_had(method: str, settings: SpaceSettings) -> bool:
    for chosen in settings.choices_for(method).combinations():
        for preset in METHODS[method].presets.values():
            with contextlib.suppress(UserError):
                METHODS[method].check_features(preset, choose_features(settings.features, chosen))
                return True
    return False


def _conditions(method: str, walks: Sequence[Walked], holds: Sequence[bool]) -> Sequence[Condition]:
    """What the failing configurations have in common and no other has, if anything."""
    rows = [{**default_settings(method), **walked.chosen} for walked in walks]
    names = [name for name in list_asked(walks) if name in rows[0]]
    return find_conditions(rows, holds, names) or ()


def _place(narrowing: Narrowing, reason: str) -> str:
    """The line of the first restricted setting that the reason names, or of the only one there is."""
    found = {name: reason.find(f"`{name}`") for name in narrowing.restrictions}
    named = sorted((position, name) for name, position in found.items() if position >= 0)
    if named:
        file_line = narrowing.restrictions[named[0][1]].file_line
    elif len(narrowing.restrictions) == 1:
        (restriction,) = narrowing.restrictions.values()
        file_line = restriction.file_line
    else:
        file_line = narrowing.file_line
    return f"{file_line}: " if file_line else ""
