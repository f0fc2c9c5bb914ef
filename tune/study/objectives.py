"""What a search is to reach (objectives) and what it must keep to (constraints)."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from dgad.errors import SettingsError
from dgad.records import Record
from dgad.settings import did_you_mean

ObjectiveName = Literal["image_auroc", "pixel_auroc", "aupro", "ms_per_image", "ms_per_megapixel"]
"""Each a mean over inner folds."""

DIRECTIONS: Mapping[str, Literal["minimize", "maximize"]] = {
    "image_auroc": "maximize",
    "pixel_auroc": "maximize",
    "aupro": "maximize",
    "ms_per_image": "minimize",
    "ms_per_megapixel": "minimize",
}
NEEDS_MASKS = ("pixel_auroc", "aupro")
OF_TIME = ("ms_per_image", "ms_per_megapixel")
"""Medians over single photographs, megapixels of the photographs as they came, not as they were scaled."""
_CONSTRAINT = re.compile(r"\s*(\w+)\s*(<=|>=)\s*([-+.\deE]+)\s*")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Constraint:
    """A bound that a configuration must keep to: `ms_per_image <= 20`."""

    name: str
    is_upper: bool
    limit: float

    def excess(self, value: float) -> float:
        """How far a value lies outside the bound; at most 0 within it."""
        return value - self.limit if self.is_upper else self.limit - value

    def __str__(self) -> str:
        return f"{self.name} {'<=' if self.is_upper else '>='} {self.limit:g}"


def parse_constraint(text: str) -> Constraint:
    """`NAME <= NUMBER` or `NAME >= NUMBER`; `SettingsError` for anything else."""
    found = _CONSTRAINT.fullmatch(text)
    try:
        name, sign, limit = found.groups() if found else ("", "", "x")
        bound = float(limit)
    except ValueError:
        raise SettingsError(
            f"`constraints` are written like `ms_per_image <= 20`, but got {text!r}."
        ) from None
    if name not in DIRECTIONS:
        raise SettingsError(
            f"`constraints` can bound {', '.join(DIRECTIONS)}, but got `{name}`."
            f"{did_you_mean(name, DIRECTIONS)}"
        )
    return Constraint(name=name, is_upper=sign == "<=", limit=bound)


def check_objectives(objectives: Sequence[str]) -> None:
    """Raise `SettingsError` unless the first, which decides between equals, is one to maximise."""
    if not objectives or DIRECTIONS[objectives[0]] != "maximize":
        quality = [name for name, direction in DIRECTIONS.items() if direction == "maximize"]
        raise SettingsError(
            f"`objectives` must begin with one of {', '.join(quality)}, which picks the winner among"
            f" configurations that none beats, but got {', '.join(objectives) or 'nothing'}."
        )


def read_value(record: Record, name: str) -> float | None:
    """The figure `name` of a record; None where it is not defined."""
    value = getattr(record if name in OF_TIME else record.metrics, name)
    return None if value is None else float(value)


def pareto_front(values: Mapping[int, Sequence[float]], objectives: Sequence[str]) -> tuple[int, ...]:
    """The keys whose values no other's beat: as good in every objective, better in one.

    Of equal ones all are on the front. `values` holds one number an objective, in their order.
    """
    signs = [1.0 if DIRECTIONS[name] == "maximize" else -1.0 for name in objectives]
    better = {k: [s * v for s, v in zip(signs, own, strict=True)] for k, own in values.items()}

    def is_beaten(own: Sequence[float]) -> bool:
        return any(
            all(a >= b for a, b in zip(other, own, strict=True)) and other != own for other in better.values()
        )

    return tuple(sorted(k for k, own in better.items() if not is_beaten(own)))
