"""Thresholds from normals alone: what is promised holds, over the draws of the references."""

# D draws, H held-out normals

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from dgad.calibration.calibrate import calibrate
from dgad.calibration.reference_coreset import choose_covering_references
from dgad.calibration.threshold import Calibration, CalibrationScheme, num_needed, sort_scores
from dgad.domains.image_set import ImageSet
from dgad.errors import DataError
from dgad.methods.patch_knn import PatchKnnMethod, PatchKnnSettings
from dgad.methods.trivial import TrivialMethod, TrivialSettings
from tests.dgad.methods.surfaces import context, surface

NUM_DRAWS = 250
NUM_HELD_OUT = 40
SIZE = 32


def calibration(*scores: float) -> Calibration:
    return Calibration(
        scores=sort_scores(scores),
        scheme="split",
        guarantee="exact",
        num_compared=5,
        map_low=0.0,
        map_high=1.0,
        map_limit=0.5,
    )


def trivial() -> TrivialMethod:
    return TrivialMethod(TrivialSettings(), context())


@pytest.fixture(scope="module")
def normals() -> ImageSet:
    """600 noisy grey images, each of its own brightness and contrast, some of them far from the others."""
    rng = np.random.default_rng(3)
    brightness = 128 + 12 * rng.standard_t(4, (600, 1, 1, 1))
    contrast = 10 * np.exp(rng.normal(0, 0.4, (600, 1, 1, 1)))
    pixels = np.clip(brightness + contrast * rng.normal(0, 1, (600, 3, SIZE, SIZE)), 0, 255)
    return ImageSet(images=torch.from_numpy(pixels.astype(np.uint8)))


def false_alarm_rates(
    normals: ImageSet,
    num_references: int,
    scheme: CalibrationScheme,
    rate: float,
    *,
    num_draws: int = NUM_DRAWS,
    coreset: int | None = None,
) -> np.ndarray:
    """Of every draw of references, over normals that are not among them; (D,)."""
    method = trivial()
    found = []
    for draw in range(num_draws):
        drawn = np.random.default_rng(draw).permutation(len(normals))[: num_references + NUM_HELD_OUT]
        enrolled, kept = calibrate(
            method, normals.take(drawn[:num_references].tolist()), scheme=scheme, coreset=coreset
        )
        threshold, _ = kept.threshold(rate)
        assert threshold is not None
        scores = method.score(normals.take(drawn[num_references:].tolist()), enrolled).image
        found.append(float((scores > threshold).double().mean()))
    return np.array(found)


@pytest.mark.parametrize(("num_references", "rate"), [(20, 1 / 11), (38, 0.1)])
def test_split_calibration_keeps_its_promise(normals: ImageSet, num_references: int, rate: float) -> None:
    rates = false_alarm_rates(normals, num_references, "split", rate)
    num_calibration = num_references // 2
    num_allowed = int(rate * (num_calibration + 1) + 1e-9)
    # Given the calibration images, a normal is above with a chance that is beta distributed over the draws.
    chance = stats.betabinom(NUM_HELD_OUT, num_allowed, num_calibration + 1 - num_allowed)
    error = chance.std() / NUM_HELD_OUT / np.sqrt(NUM_DRAWS)
    assert chance.mean() / NUM_HELD_OUT <= rate + 1e-9
    assert abs(rates.mean() - chance.mean() / NUM_HELD_OUT) < 4 * error
    # Not the mean alone: the whole distribution is as it must be.
    counts = np.rint(rates * NUM_HELD_OUT)
    assert (
        stats.kstest(counts + np.random.default_rng(0).uniform(-1, 0, NUM_DRAWS), _smoothed(chance)).pvalue
        > 1e-3
    )


def _smoothed(chance: stats.rv_discrete):  # type: ignore[no-untyped-def]
    def below(value: np.ndarray) -> np.ndarray:
        """Distribution function of a count minus a uniform number."""
        whole = np.floor(value)
        return chance.cdf(whole) + (value - whole) * chance.pmf(whole + 1)

    return below


def test_a_threshold_from_references_that_are_compared_with_themselves_is_caught(normals: ImageSet) -> None:
    """What calibration is for: without leaving out, the same test finds too many false alarms."""
    method = trivial()
    above = []
    for draw in range(60):
        drawn = np.random.default_rng(draw).permutation(len(normals))
        references = normals.take(drawn[:10].tolist())
        enrolled = method.enroll(references)
        naive = float(method.score(references, enrolled).image.max())
        held_out = method.score(normals.take(drawn[10:50].tolist()), enrolled).image
        above.append(float((held_out > naive).double().mean()))
    assert np.mean(above) > 1 / 11 + 4 * np.std(above) / np.sqrt(len(above))


def test_leaving_one_out_is_near_its_rate_and_a_coreset_errs_to_fewer_alarms(normals: ImageSet) -> None:
    rates = false_alarm_rates(normals, 20, "leave_one_out", 1 / 21, num_draws=100)
    assert 0.5 / 21 < rates.mean() < 1.6 / 21
    of_coreset = false_alarm_rates(normals, 40, "leave_one_out", 1 / 21, num_draws=50, coreset=20)
    assert of_coreset.mean() < rates.mean()


@pytest.mark.parametrize("num_calibration", [1, 2, 9, 19, 99])
def test_rates_below_the_floor_are_not_promised(num_calibration: int) -> None:
    kept = calibration(*range(num_calibration))
    floor = 1 / (num_calibration + 1)
    assert kept.lowest_rate == floor
    assert kept.threshold(floor) == (num_calibration - 1, floor)  # the highest score
    assert kept.threshold(None) == (num_calibration - 1, floor)
    assert kept.threshold(floor * 0.999) == (None, floor * 0.999)
    assert num_needed(floor) == num_calibration
    assert num_needed(floor * 0.999) == num_calibration + 1


def test_many_scores_are_not_pushed_to_their_floor() -> None:
    kept = calibration(*range(999))
    assert kept.threshold(None) == (989.0, 0.01)  # 10 of 1000 places lie above the 990th smallest
    assert kept.threshold(0.001) == (998.0, 0.001)


def test_a_score_is_above_the_threshold_exactly_where_its_p_value_is_at_most_the_rate() -> None:
    rng = np.random.default_rng(0)
    for num_scores, rate in itertools.product((1, 3, 10, 19, 60), (0.01, 0.05, 1 / 11, 0.1, 0.3, 0.5, 0.99)):
        kept = calibration(*rng.integers(0, 12, num_scores).tolist())  # with ties
        threshold, _ = kept.threshold(rate)
        for score in np.arange(-1, 13, 0.5):
            p_value = kept.p_value(score)
            assert p_value is not None
            assert (threshold is not None and score > threshold) == (p_value <= rate + 1e-9)


def test_ties_count_against_an_alarm() -> None:
    kept = calibration(1, 1, 1, 1)
    assert kept.threshold(0.2) == (1.0, 0.2)
    assert kept.p_value(1.0) == 1.0
    assert kept.p_value(1.1) == 0.2
    assert kept.p_value(0.9) == 1.0


def test_one_reference_is_enrolled_and_not_calibrated(normals: ImageSet) -> None:
    schemes: tuple[CalibrationScheme, ...] = ("split", "leave_one_out")
    for scheme in schemes:
        enrolled, kept = calibrate(trivial(), normals.take([0]), scheme=scheme, coreset=None)
        assert enrolled.num_references == kept.num_compared == 1
        assert (kept.scheme, kept.guarantee, len(kept.scores)) == ("none", "none", 0)
        assert kept.threshold(None) == (None, None)
        assert kept.threshold(0.1) == (None, 0.1)
        assert kept.p_value(3.0) is None
        assert kept.lowest_rate is None
        assert kept.map_high > kept.map_low
        assert kept.map_limit == float("inf")
    with pytest.raises(DataError, match="At least 1 reference"):
        calibrate(trivial(), normals.take([]), scheme="split", coreset=None)


def test_two_references_split_into_one_and_one(normals: ImageSet) -> None:
    enrolled, kept = calibrate(trivial(), normals.take([0, 1]), scheme="split", coreset=None)
    assert (enrolled.num_references, kept.num_compared, len(kept.scores)) == (1, 1, 1)
    assert (kept.guarantee, kept.lowest_rate) == ("exact", 0.5)


@pytest.mark.parametrize(
    ("count", "scheme", "done", "rounds"),
    [
        (12, "split", "split", 1),
        (12, "leave_one_out", "leave_one_out", 13),
        (50, "leave_one_out", "leave_one_out", 51),
        (51, "leave_one_out", "k_fold", 11),
    ],
)
def test_every_round_enrols_anew_without_the_images_it_scores(
    normals: ImageSet, count: int, scheme: CalibrationScheme, done: str, rounds: int
) -> None:
    enrolments: list[set[bytes]] = []
    scored: list[set[bytes]] = []

    class Watched(TrivialMethod):
        def enroll(self, references):  # type: ignore[no-untyped-def]
            enrolments.append({i.numpy().tobytes() for i in references.images})
            return super().enroll(references)

        def score(self, queries, enrolled):  # type: ignore[no-untyped-def]
            scored.append({i.numpy().tobytes() for i in queries.images})
            assert scored[-1].isdisjoint(enrolments[-1])
            return super().score(queries, enrolled)

    method = Watched(TrivialSettings(), context())
    _, kept = calibrate(method, normals.take(range(count)), scheme=scheme, coreset=None)
    assert kept.scheme == done
    assert kept.guarantee == ("exact" if scheme == "split" else "approximate")
    assert len(enrolments) == rounds
    assert len(kept.scores) == sum(map(len, scored)) == (count // 2 if scheme == "split" else count)
    assert kept.num_compared == (count - count // 2 if scheme == "split" else count)


@pytest.mark.parametrize("scheme", ["split", "leave_one_out"])
def test_the_order_of_references_is_irrelevant(normals: ImageSet, scheme: CalibrationScheme) -> None:
    method = trivial()
    forward = calibrate(method, normals.take(range(14)), scheme=scheme, coreset=4)
    backward = calibrate(method, normals.take(range(13, -1, -1)), scheme=scheme, coreset=4)
    assert np.array_equal(forward[1].scores, backward[1].scores)
    assert all(torch.equal(t, backward[0].tensors[name]) for name, t in forward[0].tensors.items())


def test_a_coreset_covers_a_kind_of_surface_that_is_rare() -> None:
    """Of 20 references two are of another kind: a coreset of 6 has one of them, whatever it starts with."""
    common, rare = surface(18, 12, defect=False, seed=1), surface(2, 5, defect=False, seed=2)
    images = ImageSet(images=[*common.images, *rare.images], keys=(*common.keys, *rare.keys))
    method = PatchKnnMethod(PatchKnnSettings(), context())
    chosen = choose_covering_references(method, images, 6)
    assert len(set(chosen)) == 6
    assert chosen == sorted(chosen)
    assert {18, 19} & set(chosen)
    enrolled, kept = calibrate(method, images, scheme="split", coreset=6)
    assert enrolled.num_references == kept.num_compared == 6
    assert len(kept.scores) == 10  # the other half, which the choice never saw
    everything = choose_covering_references(method, images.take(range(3)), 6)
    assert everything == [0, 1, 2]


def test_heat_of_normal_images_stays_in_the_lower_half_and_below_the_limit() -> None:
    references = surface(8, 10, defect=False, seed=3)
    method = PatchKnnMethod(PatchKnnSettings(), context())
    enrolled, kept = calibrate(method, references, scheme="leave_one_out", coreset=None)
    assert kept.map_low < kept.map_limit
    normal = torch.stack(method.score(surface(4, 10, defect=False, seed=4), enrolled).pixels)
    defective = torch.stack(method.score(surface(4, 10, defect=True, seed=5), enrolled).pixels)
    assert normal is not None
    assert defective is not None
    assert float(normal.quantile(0.95)) < (kept.map_low + kept.map_high) / 2
    assert (defective.flatten(1).amax(1) > kept.map_limit).all()
