"""What a threshold promises, in one plain sentence."""

from serve.backend import Threshold

_RATES = (0.1, 0.05, 0.01)


def threshold_sentence(threshold: Threshold) -> str:
    """What holds, for how many photographs, and what more of them would give."""
    count = threshold.num_calibration
    if threshold.value is None or threshold.false_alarm_rate is None:
        return _uncalibrated(threshold)
    share, photographs = _percent(threshold.false_alarm_rate), _photographs(count)
    if threshold.guarantee == "exact":
        said = (
            f"Of normal parts at most {share} are called abnormal on average: exact for {photographs}"
            " kept back to set the threshold"
        )
    elif threshold.guarantee == "approximate":
        said = (
            f"Of normal parts about {share} are called abnormal: approximate, from {photographs} scored"
            " against the others"
        )
    else:
        said = f"Scores above the threshold are called abnormal, without a promise, from {photographs}"
    return said + _more(threshold, count)


def _uncalibrated(threshold: Threshold) -> str:
    count = threshold.num_calibration
    if count == 0:
        return (
            "Uncalibrated: no photograph is left to set a threshold with; enrol more of normal parts"
            f" ({_needed(0.05, threshold)} give 5%)."
        )
    lowest = _percent(threshold.lowest_rate or 1 / (count + 1))
    return (
        f"Uncalibrated: {_photographs(count)} can promise {lowest} false alarms at the lowest, more than was"
        " asked for; enrol more of normal parts, or ask for a higher rate."
    )


def _more(threshold: Threshold, count: int) -> str:
    lowest = threshold.lowest_rate
    better = next((rate for rate in _RATES if lowest is not None and rate < lowest - 1e-9), None)
    if better is None:
        return "."
    return f"; {_needed(better, threshold)} photographs of normal parts would give {_percent(better)}."


def _needed(rate: float, threshold: Threshold) -> int:
    """References for this rate: 1 / rate - 1 calibration scores, of twice as many where half is kept back."""
    scores = round(1 / rate) - 1
    return 2 * scores if threshold.scheme == "split" else scores


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _photographs(count: int) -> str:
    return f"{count} photograph" + ("" if count == 1 else "s")
