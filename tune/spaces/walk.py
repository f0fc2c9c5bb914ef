"""Walking a space at random: what it asks for, and which configurations it reaches.

Without Optuna, whose trials would take most of the time.
"""

import dataclasses
import random
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from dgad.errors import SettingsError
from tune.spaces.base import SpaceFunction

_N = TypeVar("_N", int, float)

_NUM_WALKS = 600
"""Enough to come by what the spaces ask for under several conditions at once."""
_END_CHANCE = 0.15
"""Of each end of a range: what is refused is refused there first."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CategoryQuestion:
    """A space asks for one of these values."""

    choices: tuple[Any, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NumberQuestion:
    """A space asks for a number from `low` to `high`; whole where both are `int`."""

    low: int | float
    high: int | float
    log: bool


Question = CategoryQuestion | NumberQuestion


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Walked:
    """One configuration, and the questions that led to it."""

    questions: dict[str, Question]
    chosen: dict[str, Any]


def walk(space: SpaceFunction, *, num_walks: int = _NUM_WALKS) -> Iterator[Walked]:
    """The same random configurations of the space every time."""
    generator = random.Random(0)
    for _ in range(num_walks):
        trial = _WalkingTrial(generator)
        chosen = space(trial)
        yield Walked(questions=trial.questions, chosen=chosen)


def list_asked(walks: Sequence[Walked]) -> tuple[str, ...]:
    """All that the space asked for, what comes first in most conditions first."""
    order: dict[str, None] = {}
    for walked in sorted(walks, key=lambda walked: -len(walked.questions)):
        order |= dict.fromkeys(walked.questions)
    return tuple(order)


class _WalkingTrial:
    """Answers at random, and at the ends of a range more often."""

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator
        self.questions: dict[str, Question] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.questions[name] = CategoryQuestion(choices=tuple(choices))
        return self._generator.choice(choices)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self._note(name, NumberQuestion(low=low, high=high, log=log))
        end = self._end(low, high)
        return self._generator.randrange(low, high + 1, step) if end is None else end

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        del step  # a number between two steps is as good for a walk
        self._note(name, NumberQuestion(low=float(low), high=float(high), log=log))
        end = self._end(low, high)
        return self._generator.uniform(low, high) if end is None else end

    def _note(self, name: str, question: NumberQuestion) -> None:
        if question.log and question.low <= 0:
            raise SettingsError(
                f"`{name}` is drawn by orders of magnitude, so its `low` must be above 0 (unless it has"
                f" `log: false`), but got {question.low}."
            )
        self.questions[name] = question

    def _end(self, low: _N, high: _N) -> _N | None:
        drawn = self._generator.random()
        return low if drawn < _END_CHANCE else high if drawn > 1 - _END_CHANCE else None
