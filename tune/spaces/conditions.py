"""Under which conditions something holds of configurations, told by the values of a few settings."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

_MAX_VALUES = 12
"""A setting with more different values is no condition that a reader would take in."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """A setting has one of some values."""

    name: str
    values: tuple[Any, ...]
    others: tuple[Any, ...]
    """The values it has elsewhere."""

    def __str__(self) -> str:
        is_short = len(self.others) < len(self.values)
        told = _listed(self.others if is_short else self.values)
        return f"`{self.name}` is {'not ' if is_short else ''}{told}"


def find_conditions(
    rows: Sequence[Mapping[str, Any]], holds: Sequence[bool], names: Sequence[str]
) -> tuple[Condition, ...] | None:
    """The conditions that together tell rows where something holds from the others, earlier `names` first.

    None of them where it holds in every row; None where few-valued settings cannot tell it.
    """
    values = {name: _distinct(row[name] for row in rows) for name in names}
    left = [row for row, flag in zip(rows, holds, strict=True) if not flag]
    found = []
    while left:
        best: tuple[Condition, list[Mapping[str, Any]]] | None = None
        for name in names:
            if len(values[name]) > _MAX_VALUES:
                continue
            own = _distinct(row[name] for row, flag in zip(rows, holds, strict=True) if flag)
            remaining = [row for row in left if row[name] in own]
            if len(remaining) < (len(best[1]) if best else len(left)):
                others = tuple(v for v in values[name] if v not in own)
                best = Condition(name=name, values=own, others=others), remaining
        if best is None:
            return None
        found.append(best[0])
        left = best[1]
    return tuple(sorted(found, key=lambda condition: names.index(condition.name)))


def join_conditions(conditions: Sequence[Condition]) -> str:
    """All of them in words."""
    return " and ".join(map(str, conditions))


def format_value(value: Any) -> str:
    """A value as a YAML file would have it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _distinct(values: Any) -> tuple[Any, ...]:
    """In an order of their own, so that the same set reads the same."""
    return tuple(sorted(set(values), key=lambda v: (isinstance(v, str), v is not None, v)))


def _listed(values: Sequence[Any]) -> str:
    *most, last = map(format_value, values)
    return f"{', '.join(most)} or {last}" if most else last
