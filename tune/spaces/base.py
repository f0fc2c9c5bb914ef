"""What a search space is: a function from a trial, and the features of a study, to a method's settings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS
from dgad.settings import from_dict, to_dict
from tune.spaces.features import split_configuration


class Trial(Protocol):
    """What a space asks: an Optuna trial, or whatever answers like one."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Give one of the choices for the setting `name`."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Give a whole number from `low` to `high`, both among them, for the setting `name`."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Give a number from `low` to `high` for the setting `name`."""


SpaceFunction = Callable[[Trial], dict[str, Any]]
"""Settings that a trial chooses; those it does not mention keep their defaults."""
FeatureSpace = Callable[[Trial, FeatureSettings], dict[str, Any]]
"""The same for any features; what can be chosen may depend on backbone and weights, not on the scale."""


def default_settings(method: str) -> dict[str, Any]:
    """Complete settings that nothing was chosen of."""
    return to_dict(METHODS[method].settings_type())


def complete_settings(method: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What a trial chose, checked, and every other setting at its default; of features what it chose."""
    settings, features = split_configuration(chosen)
    return {**to_dict(from_dict(METHODS[method].settings_type, settings, where=method)), **features}
