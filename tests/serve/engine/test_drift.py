"""The watch flags what moves nearly all scores, and neither chance nor a fifth of defects."""

import threading
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from serve.engine.drift import (
    NUM_KEPT,
    DriftDetector,
    ScoreRecord,
    compute_tail,
    explain_drift,
    find_least_count,
)


def _beyond(calibration: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Per score, how many calibration scores are at least as high."""
    return len(calibration) - np.searchsorted(np.sort(calibration), scores, side="left")


def _is_flagged(beyond: np.ndarray, num_calibration: int) -> bool:
    """Looked at after every tenth score."""
    ends = range(10, len(beyond) + 1, 10)
    return any(explain_drift(beyond[max(0, end - NUM_KEPT) : end], num_calibration) for end in ends)


@pytest.mark.parametrize("num_calibration", [3, 5, 10, 19, 100])
def test_a_normal_line_with_a_fifth_of_defects_is_left_alone(num_calibration: int) -> None:
    generator = np.random.default_rng(num_calibration)
    flagged = 0
    for _ in range(80):
        calibration, scores = generator.normal(size=num_calibration), generator.normal(size=1000)
        scores[generator.random(1000) < 0.2] += 10
        flagged += _is_flagged(_beyond(calibration, scores), num_calibration)
    # At 1% of streams, 4 or more of 80 would come with a chance of 1%.
    assert flagged <= 3


@pytest.mark.parametrize("num_references", [5, 10, 40])
def test_leave_one_out_scores_are_no_drift(num_references: int) -> None:
    generator = np.random.default_rng(num_references)
    flagged = 0
    for _ in range(80):
        references, queries = generator.normal(size=(num_references, 8)), generator.normal(size=(300, 8))
        among = np.linalg.norm(references[:, None] - references, axis=2)
        np.fill_diagonal(among, np.inf)
        scores = np.linalg.norm(queries[:, None] - references, axis=2).min(1)
        flagged += _is_flagged(_beyond(among.min(1), scores), num_references)
    assert flagged <= 3


@pytest.mark.parametrize(
    ("num_calibration", "shift"),
    [(5, 5.0), (10, 5.0), (19, 5.0), (100, 5.0), (10, -5.0), (19, -5.0), (100, -5.0)],
)
def test_another_surface_is_flagged_within_fifty_scores(num_calibration: int, shift: float) -> None:
    generator = np.random.default_rng(num_calibration)
    for _ in range(20):
        calibration = generator.normal(size=num_calibration)
        scores = np.concatenate([generator.normal(size=200), generator.normal(size=50) + shift])
        beyond = _beyond(calibration, scores)
        assert not explain_drift(beyond[:200], num_calibration)
        reason = explain_drift(beyond[-NUM_KEPT:], num_calibration)
        assert ("score higher than" if shift > 0 else "score lower than") in reason
        assert f"the {num_calibration} calibration scores" in reason


def test_a_shift_shows_through_a_fifth_of_defects_and_ends_when_it_ends() -> None:
    generator = np.random.default_rng(0)
    calibration = generator.normal(size=30)
    lower = generator.normal(size=50) - 5
    lower[::5] += 15
    assert "score lower than" in explain_drift(_beyond(calibration, lower), 30)
    detector = DriftDetector()
    for scores, is_drifting in ((generator.normal(size=60) + 5, True), (generator.normal(size=200), False)):
        _note(detector, "belt", _beyond(calibration, scores), 30)
        assert detector.summarise("belt").is_drifting is is_drifting


def test_with_few_calibration_scores_it_takes_longer_or_is_never_known() -> None:
    above = np.zeros(NUM_KEPT, dtype=np.int64)
    assert not explain_drift(above[:50], 3)
    assert explain_drift(above, 3)
    assert not explain_drift(above, 1)
    assert not explain_drift(np.full(NUM_KEPT, 5), 5)
    assert explain_drift(np.full(NUM_KEPT, 6), 6)
    assert not explain_drift(above, 0)


def test_least_count_is_a_majority_and_falls_with_what_is_known() -> None:
    counts = [find_least_count(n, 1, 50) for n in (1, 3, 5, 10, 50, 1000)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 51
    assert counts[-1] >= 26


@pytest.mark.parametrize(
    ("num_calibration", "rank", "window", "least"),
    [
        (1, 1, 50, 51),
        (3, 1, 200, 196),
        (5, 1, 25, 25),
        (10, 1, 50, 40),
        (10, 2, 50, 44),
        (19, 5, 50, 43),
        (100, 1, 25, 18),
        (100, 10, 200, 107),
        (1000, 1, 50, 29),
        (1000, 250, 200, 123),
    ],
)
def test_least_counts_are_those_of_the_numeric_integral_used_before(
    num_calibration: int, rank: int, window: int, least: int
) -> None:
    assert find_least_count(num_calibration, rank, window) == least


@pytest.mark.parametrize(
    ("num_calibration", "rank", "window", "at_least", "chance"),
    [
        # By a midpoint rule of 4000 nodes, which at these ranks is as good as exact.
        (19, 5, 50, 43, 6.223067441797748e-05),
        (100, 10, 200, 107, 6.813632678806362e-05),
        (1000, 250, 200, 123, 8.260938918602207e-05),
    ],
)
def test_chances_are_those_of_the_numeric_integral_used_before(
    num_calibration: int, rank: int, window: int, at_least: int, chance: float
) -> None:
    assert compute_tail(num_calibration, rank, window)[at_least] == pytest.approx(chance, rel=1e-9)


@pytest.mark.parametrize(
    ("num_calibration", "rank", "window", "at_least"),
    [(3, 1, 200, 196), (5, 1, 25, 25), (10, 2, 50, 44), (100, 1, 25, 18), (1000, 1, 50, 29)],
)
def test_chances_are_the_integral_of_the_binomial_over_the_beta(
    num_calibration: int, rank: int, window: int, at_least: int
) -> None:
    def integrand(share: float) -> float:
        density = stats.beta.pdf(share, rank, num_calibration + 1 - rank)
        return float(density * stats.binom.sf(at_least - 1, window, 0.3 + 0.7 * share))

    # The beta lies near 0, or the binomial's tail near 1, so the range is cut where neither vanishes.
    edges = [0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 0.8, 0.9, 0.97, 1.0]
    whole = sum(integrate.quad(integrand, a, b, epsabs=0, epsrel=1e-11)[0] for a, b in pairwise(edges))
    assert compute_tail(num_calibration, rank, window)[at_least] == pytest.approx(whole, rel=1e-9)


def _note(
    detector: DriftDetector, domain: str, beyond: np.ndarray, n: int, version: int = 1, bundle: str = "b"
) -> None:
    detector.add(
        ScoreRecord(
            domain=domain,
            version=version,
            bundle_id=bundle,
            num_calibration=n,
            p_value=(1 + int(b)) / (n + 1),
        )
        for b in beyond
    )


def test_another_version_or_bundle_begins_anew() -> None:
    detector = DriftDetector()
    _note(detector, "belt", np.zeros(60), 19)
    assert detector.summarise("belt").is_drifting
    assert detector.summarise("belt").num_scores == 60
    for version, bundle in ((2, "b"), (2, "c")):
        _note(detector, "belt", np.array([9]), 19, version, bundle)
        recent = detector.summarise("belt")
        assert (recent.num_scores, recent.is_drifting, recent.reason) == (1, False, "")
    detector.forget("belt")
    assert detector.summarise("belt").num_scores == 0


def test_memory_is_bounded_by_domains_and_by_scores() -> None:
    detector = DriftDetector(max_domains=2)
    for domain in ("a", "b"):
        _note(detector, domain, np.full(500, 5), 19)
    _note(detector, "a", np.array([5]), 19)
    _note(detector, "c", np.array([5]), 19)
    assert [detector.summarise(d).num_scores for d in ("a", "b", "c")] == [NUM_KEPT, 0, 1]


def test_what_is_not_calibrated_is_not_noted() -> None:
    detector = DriftDetector()
    detector.add([ScoreRecord(domain="belt", version=1, bundle_id="b", num_calibration=0, p_value=None)])
    assert detector.summarise("belt").num_scores == 0


def test_threads_lose_nothing() -> None:
    detector = DriftDetector()
    threads = [
        threading.Thread(target=lambda: [_note(detector, "belt", np.array([5]), 19) for _ in range(40)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert detector.summarise("belt").num_scores == 160
