"""How a study narrows, fixes or widens what a space asks for: one restriction a setting."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tune.spaces.base import Trial

Value = bool | int | float | str | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Fixed:
    """One value in every configuration."""

    value: Value
    file_line: str = dataclasses.field(default="", compare=False, repr=False)
    """Where a file says so, as messages name it; here and below."""

    @property
    def examples(self) -> tuple[Value, ...]:
        """Values that checks try in its stead: the one there is."""
        return (self.value,)

    def allows(self, value: Value) -> bool:
        """Whether it is that value."""
        return value == self.value

    def ask(self, trial: Trial, name: str, *, log: bool = False, step: float | None = None) -> Value:
        """The value; the trial is asked nothing."""
        del trial, name, log, step
        return self.value


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """One of at least two values, in place of those that the space offers."""

    values: tuple[Value, ...]
    file_line: str = dataclasses.field(default="", compare=False, repr=False)

    @property
    def examples(self) -> tuple[Value, ...]:
        """Values that checks try in its stead: all of them."""
        return self.values

    def allows(self, value: Value) -> bool:
        """Whether it is among the values."""
        return value in self.values

    def ask(self, trial: Trial, name: str, *, log: bool = False, step: float | None = None) -> Value:
        """Have the trial choose one of the values for the setting `name`."""
        del log, step
        answer: Value = trial.suggest_categorical(name, self.values)
        return answer


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """A number from `low` to `high`, in place of the space's range or choices; whole where both are `int`."""

    low: int | float
    high: int | float
    log: bool | None = None
    """Whether to draw by orders of magnitude; None: where the space itself does."""
    file_line: str = dataclasses.field(default="", compare=False, repr=False)

    @property
    def examples(self) -> tuple[Value, ...]:
        """Values that checks try in its stead: both ends."""
        return self.low, self.high

    def allows(self, value: Value) -> bool:
        """Whether it is a number in the range."""
        return isinstance(value, int | float) and self.low <= value <= self.high

    def ask(self, trial: Trial, name: str, *, log: bool = False, step: float | None = None) -> Value:
        """A number in the range; `log` and `step` are those of the space."""
        log = log if self.log is None else self.log
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(name, self.low, self.high, step=1 if log else int(step or 1), log=log)
        return trial.suggest_float(name, self.low, self.high, step=None if log else step, log=log)


Restriction = Fixed | Choices | Range


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Narrowing:
    """What a study says of one method's space."""

    restrictions: Mapping[str, Restriction]
    """By the name of the setting."""
    file_line: str = dataclasses.field(default="", compare=False, repr=False)


def to_plain(narrowings: Mapping[str, Narrowing]) -> dict[str, Any]:
    """As a study file has them: `tune.spaces.reading` reads it back equal."""
    return {
        method: {name: _plain(restriction) for name, restriction in narrowing.restrictions.items()}
        for method, narrowing in narrowings.items()
    }


def _plain(restriction: Restriction) -> Any:
    if isinstance(restriction, Fixed):
        return restriction.value
    if isinstance(restriction, Choices):
        return list(restriction.values)
    ends = {"low": restriction.low, "high": restriction.high}
    return ends if restriction.log is None else {**ends, "log": restriction.log}
