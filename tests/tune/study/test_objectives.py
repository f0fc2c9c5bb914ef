"""Objectives and bounds as users write them, and the Pareto front against a plain definition."""

import itertools

import numpy as np
import pytest

from dgad.errors import SettingsError
from dgad.records import FitKey, Record
from tune.study.objectives import (
    DIRECTIONS,
    check_objectives,
    pareto_front,
    parse_constraint,
    read_value,
)
from tune.study.settings import Study, make_study


def test_a_bound_is_read_and_tells_how_far_a_value_is_outside() -> None:
    upper = parse_constraint("ms_per_image <= 20")
    assert (upper.name, upper.limit, str(upper)) == ("ms_per_image", 20.0, "ms_per_image <= 20")
    assert [upper.excess(v) for v in (10.0, 20.0, 25.0)] == [-10.0, 0.0, 5.0]
    lower = parse_constraint(" image_auroc>=.9 ")
    assert lower.excess(0.95) == pytest.approx(-0.05)
    assert lower.excess(0.8) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "text", ["ms_per_image < 20", "20", "ms_per_image <= fast", "", "ms_per_image <= 1e"]
)
def test_what_is_no_bound_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingsError, match="written like `ms_per_image <= 20`"):
        parse_constraint(text)


def test_an_unknown_figure_is_refused_with_a_suggestion() -> None:
    with pytest.raises(SettingsError, match=r"can bound image_auroc.*Did you mean `ms_per_image`"):
        parse_constraint("ms_per_images <= 20")


def test_the_first_objective_is_one_to_maximise() -> None:
    check_objectives(("aupro", "ms_per_image"))
    for wrong in ((), ("ms_per_image", "aupro")):
        with pytest.raises(SettingsError, match="must begin with one of image_auroc, pixel_auroc, aupro"):
            check_objectives(wrong)


def test_the_front_is_what_nothing_else_beats() -> None:
    objectives = ("image_auroc", "aupro", "ms_per_image")
    generator = np.random.default_rng(0)
    values = {i: tuple(generator.integers(0, 5, 3).astype(float)) for i in range(60)}
    signs = [1 if DIRECTIONS[o] == "maximize" else -1 for o in objectives]
    beaten = set()
    for one, other in itertools.permutations(values, 2):
        gains = [s * (b - a) for s, a, b in zip(signs, values[one], values[other], strict=True)]
        if min(gains) >= 0 and max(gains) > 0:
            beaten.add(one)
    assert set(pareto_front(values, objectives)) == set(values) - beaten
    assert pareto_front({}, objectives) == ()


def test_several_objectives_switch_early_stopping_off_and_asking_for_both_is_refused() -> None:
    both = ("image_auroc", "ms_per_image")
    assert make_study({"data": "d", "objectives": both}).early_stopping == "none"
    assert make_study({"data": "d"}).early_stopping == "median"
    with pytest.raises(SettingsError, match="none with several objectives"):
        make_study({"data": "d", "objectives": both, "early_stopping": "asha"})
    assert Study(name="x", constraints=("ms_per_image <= 3",)).figures == ("image_auroc", "ms_per_image")


def test_time_a_megapixel_is_an_objective_and_a_bound_of_the_record() -> None:
    study = Study(
        name="x",
        objectives=("image_auroc", "ms_per_megapixel"),
        constraints=("ms_per_megapixel <= 80",),
        early_stopping="none",
    )
    fit = FitKey(
        method="x", settings={}, features={}, sources=(), data_fingerprint="", seed=0, code_version=""
    )
    record = Record(
        fit=fit, label="x", role="inner", target="a", num_references=1, status="ok", ms_per_megapixel=12.5
    )
    assert [read_value(record, name) for name in study.figures] == [None, 12.5]
