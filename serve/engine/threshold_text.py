"""Sentences that say what a threshold guarantees."""

import math

from dgad.calibration.threshold import num_needed
from serve.engine.backend import Threshold

_BETTER_RATES = (0.1, 0.05, 0.01)


def describe_threshold(threshold: Threshold) -> str:
    """Describe what the threshold guarantees, from how many photographs, and what more would allow."""
    if threshold.num_calibration == 0:
        return (
            "Uncalibrated: one photograph leaves none to set a threshold with;"
            f" {_format_photographs(_count_references(0.05, threshold))} would allow 5%."
        )
    rate = threshold.false_alarm_rate
    if threshold.value is None or rate is None:
        lowest = threshold.lowest_rate or 1.0
        wanted = (
            "" if rate is None else f" {_format_percent(rate)} takes {_count_references(rate, threshold)}."
        )
        return (
            f"Uncalibrated: {_format_photographs(threshold.num_calibration)} to calibrate with can promise no"
            f" less than {_format_percent(lowest)} false alarms.{wanted}"
        )
    how = {
        "split": "exact, by {} that nothing is compared with",
        "leave_one_out": "approximate, leave-one-out over {}",
        "k_fold": "approximate, in folds over {}",
        "none": "{}",
    }[threshold.scheme].format(_format_photographs(threshold.num_calibration))
    said = f"At most {_format_percent(rate)} of normal parts are expected above the threshold ({how})"
    lowest = threshold.lowest_rate or 0.0
    better = next((r for r in _BETTER_RATES if r < lowest - 1e-9), None)
    if better is None:
        return f"{said}."
    photographs = _format_photographs(_count_references(better, threshold))
    return f"{said}; {photographs} would allow {_format_percent(better)}."


def _count_references(rate: float, threshold: Threshold) -> int:
    """Count the references needed for a rate: twice as many where half of them are kept back."""
    return num_needed(rate) * (2 if threshold.scheme == "split" else 1)


def _format_percent(share: float) -> str:
    """Format a share as a percentage, rounded up so that no rate is understated."""
    return f"{math.ceil(1000 * share - 1e-6) / 10:g}%"


def _format_photographs(count: int) -> str:
    return f"{count} photograph" + ("" if count == 1 else "s")
