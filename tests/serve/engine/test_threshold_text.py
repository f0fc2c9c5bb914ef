"""What is said of a threshold is what holds."""

import math

import pytest

from dgad.calibration.threshold import Calibration, Guarantee, Scheme, sort_scores
from serve.engine.states import derive_threshold
from serve.engine.threshold_text import describe_threshold


def sentence(num_calibration: int, scheme: Scheme = "leave_one_out", rate: float | None = None) -> str:
    guarantee: Guarantee = "exact" if scheme == "split" else "approximate"
    kept = Calibration(
        scores=sort_scores(range(num_calibration)),
        scheme=scheme if num_calibration else "none",
        guarantee=guarantee if num_calibration else "none",
        num_compared=max(1, num_calibration),
        map_low=0.0,
        map_high=1.0,
        map_limit=math.inf,
    )
    return describe_threshold(derive_threshold(kept, rate))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            sentence(10),
            "At most 9.1% of normal parts are expected above the threshold (approximate, leave-one-out over"
            " 10 photographs); 19 photographs would allow 5%.",
        ),
        (
            sentence(10, rate=0.2),
            "At most 20% of normal parts are expected above the threshold (approximate, leave-one-out over 10"
            " photographs); 19 photographs would allow 5%.",
        ),
        (
            sentence(19, "split"),
            "At most 5% of normal parts are expected above the threshold (exact, by 19 photographs that"
            " nothing is compared with); 198 photographs would allow 1%.",
        ),
        (
            sentence(200, "k_fold"),
            "At most 1% of normal parts are expected above the threshold (approximate, in folds over 200"
            " photographs).",
        ),
        (
            sentence(10, rate=0.01),
            "Uncalibrated: 10 photographs to calibrate with can promise no less than 9.1% false alarms."
            " 1% takes 99.",
        ),
        (
            sentence(0),
            "Uncalibrated: one photograph leaves none to set a threshold with; 19 photographs would"
            " allow 5%.",
        ),
        (
            sentence(1),
            "At most 50% of normal parts are expected above the threshold (approximate, leave-one-out over 1"
            " photograph); 9 photographs would allow 10%.",
        ),
    ],
)
def test_sentences(found: str, expected: str) -> None:
    assert found == expected


def test_no_promise_is_made_smaller_than_it_is() -> None:
    for count in range(1, 120):
        share = float(sentence(count).split("%")[0].removeprefix("At most "))
        assert share >= 100 * max(0.01, 1 / (count + 1)) - 1e-9
