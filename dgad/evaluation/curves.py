"""Reference curves: how a metric moves with the number of references (the paper's Figures 3 and 4)."""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """One method at one number of references, over seeds."""

    label: str
    num_references: int
    mean: float
    standard_error: float | None
    """Over seeds; None for a single one. Seeds draw references and weights, never other test images."""
    num_seeds: int


def curve_points(rows: Iterable[tuple[str, int, float | None]]) -> tuple[CurvePoint, ...]:
    """Points of every method, in the order of first appearance, from rows (label, references, value).

    A value that does not apply is None and makes no point.
    """
    values: dict[tuple[str, int], list[float]] = {}
    for label, num_references, value in rows:
        if value is not None:
            values.setdefault((label, num_references), []).append(value)
    points = []
    for (label, num_references), own in values.items():
        error = float(np.std(own, ddof=1)) / math.sqrt(len(own)) if len(own) > 1 else None
        points.append(
            CurvePoint(
                label=label,
                num_references=num_references,
                mean=float(np.mean(own)),
                standard_error=error,
                num_seeds=len(own),
            )
        )
    return tuple(points)
