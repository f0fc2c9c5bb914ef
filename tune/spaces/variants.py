"""A trial whose questions have names of their own where their choices depend on the features."""

from collections.abc import Mapping, Sequence
from typing import Any

from tune.spaces.base import Trial


class VariantTrial:
    """Passes every question on; one with choices that its name does not usually have under another name."""

    def __init__(self, trial: Trial, names: Mapping[tuple[str, tuple[Any, ...]], str]) -> None:
        self._trial = trial
        self._names = names

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Give one of the choices for the setting `name`."""
        return self._trial.suggest_categorical(self._names.get((name, tuple(choices)), name), choices)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Give a whole number for the setting `name`."""
        return self._trial.suggest_int(name, low, high, step=step, log=log)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Give a number for the setting `name`."""
        return self._trial.suggest_float(name, low, high, step=step, log=log)
