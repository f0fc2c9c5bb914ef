"""What a space asks for, in words, found by walking it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tune.spaces import SpaceSettings, space_for
from tune.spaces.base import complete_settings
from tune.spaces.conditions import find_conditions, format_value, join_conditions
from tune.spaces.narrowing import Fixed
from tune.spaces.walk import CategoryQuestion, Question, list_asked, walk

SOMETIMES = "in some configurations"
"""Where the values of few settings do not tell when a parameter is asked for."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One question of a space, and when it is asked."""

    name: str
    question: Question
    where: str
    """Conditions; empty where it is asked always."""

    @property
    def values(self) -> str:
        """Its choices or its range."""
        if isinstance(self.question, CategoryQuestion):
            return ", ".join(map(format_value, self.question.choices))
        kind = "whole, " if isinstance(self.question.low, int) else ""
        scale = "by orders of magnitude" if self.question.log else "evenly"
        return f"{format_value(self.question.low)} to {format_value(self.question.high)} ({kind}{scale})"

    def as_plain(self) -> dict[str, Any]:
        """Give the parameter as `dgad-tune space --json` prints it."""
        return {"name": self.name, **dataclasses.asdict(self.question), "where": self.where or None}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """All that the space of a method asks for, and what a study fixes in it."""

    parameters: tuple[Parameter, ...]
    """In the order in which they are asked for; the same name again under other conditions."""
    fixed: Mapping[str, Any]
    """What the study fixes."""


def describe_parameters(method: str, settings: SpaceSettings) -> Description:
    """Walk the space of a method on a study's features, narrowed where the study says so."""
    walks = tuple(walk(space_for(method, settings)))
    rows = [complete_settings(method, walked.chosen) for walked in walks]
    names = list_asked(walks)
    settings_names = [name for name in names if name in rows[0]]
    parameters = []
    for name in names:
        for question in dict.fromkeys(w.questions[name] for w in walks if name in w.questions):
            where = find_conditions(rows, [w.questions.get(name) == question for w in walks], settings_names)
            told = SOMETIMES if where is None else join_conditions(where)
            parameters.append(Parameter(name=name, question=question, where=told))
    narrowing = settings.narrowings.get(method)
    restrictions = narrowing.restrictions if narrowing else {}
    fixed = {name: r.value for name, r in restrictions.items() if isinstance(r, Fixed)}
    return Description(parameters=tuple(parameters), fixed=fixed)
