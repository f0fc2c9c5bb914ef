"""A space under a study's restrictions; the space's own conditions stay as they are.

What a restriction means for a setting, in one configuration:

- the space asks for it: the restriction answers in the space's place, and conditions follow the answer;
- the space sets it without asking (what `init` builtin takes from the shipped comparer): a value that the
  restriction allows stays, any other is replaced by the restriction's;
- the space does neither, but asks elsewhere: it has no meaning here, and keeps its default;
- the space asks for it nowhere: it is one more setting of every configuration.

A combination that the method cannot have is not mended: `tune.spaces.checks` refuses it beforehand.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tune.spaces.base import SpaceFunction, Trial
from tune.spaces.narrowing import Restriction


def narrow_space(
    space: SpaceFunction, restrictions: Mapping[str, Restriction], *, asked: frozenset[str]
) -> SpaceFunction:
    """The space with the restrictions; `asked` are all settings that it asks for anywhere."""

    def narrowed_space(trial: Trial) -> dict[str, Any]:
        own = _NarrowedTrial(trial, restrictions)
        chosen = space(own)
        for name, restriction in restrictions.items():
            is_set = name in chosen
            if name in asked and is_set and restriction.allows(chosen[name]):
                continue
            if name in own.answers:
                chosen[name] = own.answers[name]
            elif is_set or name not in asked:
                chosen[name] = restriction.ask(trial, name)
        return chosen

    return narrowed_space


class _NarrowedTrial:
    """Answers for the settings that are restricted, and passes every other question on."""

    def __init__(self, trial: Trial, restrictions: Mapping[str, Restriction]) -> None:
        self._trial = trial
        self._restrictions = restrictions
        self.answers: dict[str, Any] = {}
        """To the questions that were not passed on."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name in self._restrictions:
            return self._answer(name)
        return self._trial.suggest_categorical(name, choices)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        if name in self._restrictions:
            answer: int = self._answer(name, log=log, step=step)
            return answer
        return self._trial.suggest_int(name, low, high, step=step, log=log)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        if name in self._restrictions:
            answer: float = self._answer(name, log=log, step=step)
            return answer
        return self._trial.suggest_float(name, low, high, step=step, log=log)

    def _answer(self, name: str, *, log: bool = False, step: float | None = None) -> Any:
        answer = self._restrictions[name].ask(self._trial, name, log=log, step=step)
        self.answers[name] = answer
        return answer
