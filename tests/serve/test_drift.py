"""A domain whose recent scores leave its calibration is flagged; one that makes some defects is not."""

import random

import pytest

from serve.drift import RecentScores, Seen, binomial_tail


def seen(p_values: list[float | None], calibration: str = "b 1") -> list[Seen]:
    return [Seen(domain="carpet", calibration=calibration, p_value=p) for p in p_values]


def p_values(count: int, share_of_defects: float, seed: int) -> list[float | None]:
    """As 19 calibration scores give them for normal parts, and the lowest for defects."""
    draw = random.Random(seed)
    return [0.05 if draw.random() < share_of_defects else draw.randint(1, 20) / 20 for _ in range(count)]


@pytest.mark.parametrize("share_of_defects", [0.0, 0.1, 0.2])
def test_normal_parts_and_some_defects_are_no_drift(share_of_defects: float) -> None:
    flagged = 0
    for seed in range(200):
        recent = RecentScores()
        recent.add(seen(p_values(100, share_of_defects, seed)))
        flagged += recent.of("carpet").is_drifting
    assert flagged <= 2


def test_a_line_that_has_changed_is_flagged_and_said_how() -> None:
    recent = RecentScores()
    recent.add(seen([0.05] * 19))
    assert not recent.of("carpet").is_drifting, "too few to tell"
    recent.add(seen([0.1] * 21))
    told = recent.of("carpet")
    assert told.is_drifting
    assert told.num_scores == 40
    assert "40 of the last 40 scores lie among the highest 25%" in told.reason
    lower = RecentScores()
    lower.add(seen([0.95] * 30))
    assert "lowest" in lower.of("carpet").reason


def test_another_calibration_and_a_deleted_domain_begin_anew() -> None:
    recent = RecentScores()
    recent.add(seen([0.05] * 50))
    recent.add(seen([0.5, None], calibration="b 2"))
    assert recent.of("carpet").num_scores == 1
    recent.forget("carpet")
    assert recent.of("carpet").num_scores == 0


def test_the_tail_of_a_binomial() -> None:
    assert binomial_tail(0, 10, 0.3) == pytest.approx(1.0)
    assert binomial_tail(10, 10, 0.5) == pytest.approx(0.5**10)
    assert binomial_tail(2, 3, 0.5) == pytest.approx(0.5)
