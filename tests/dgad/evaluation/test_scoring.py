"""Scoring a target: references are drawn honestly, and every way of counting them is checked."""

import dataclasses

import numpy as np
import pytest
import torch

from dgad.calibration.normal_range import measure_normal_range
from dgad.domains.image_set import ImageSet
from dgad.errors import DataError, SettingsError
from dgad.evaluation.scoring import (
    TargetDomain,
    count_references,
    draw_references,
    parse_num_references,
    score_target,
)
from dgad.methods import METHODS, parse_method
from dgad.methods.base import Method
from dgad.methods.patch_knn import PatchKnnMethod, PatchKnnSettings
from tests.dgad.methods.surfaces import SIZE, context, surface


def method(label: str = "patch_knn") -> Method:
    name, _, settings = parse_method(label)
    return METHODS[name](settings, context())


@pytest.fixture(scope="module")
def target() -> TargetDomain:
    good, bad = surface(5, 10, defect=False, seed=1), surface(5, 10, defect=True, seed=2)
    normals = surface(7, 10, defect=False, seed=3)
    masks = [np.zeros((SIZE, SIZE), dtype=bool)] * 5 + [None] * 5
    return TargetDomain(
        name="t",
        normal_ids=tuple(f"n{i}" for i in range(7)),
        normals=normals,
        query_ids=tuple(f"q{i}" for i in range(10)),
        queries=ImageSet(images=[*good.images, *bad.images], keys=(*good.keys, *bad.keys)),
        kinds=("good",) * 5 + ("patch",) * 5,
        labels=np.array([0] * 5 + [1] * 5),
        masks=tuple(masks),
    )


def test_scores_and_metrics(target: TargetDomain) -> None:
    scores = score_target(method(), target, num_references=4, seed=0)
    assert scores.metrics.image_auroc == 1.0
    assert scores.metrics.pixel_auroc is None, "no mask marks a defect, so pixels cannot be judged"
    assert scores.pixel_maps is not None
    assert [m.shape for m in scores.pixel_maps] == [(SIZE, SIZE)] * 10
    assert len(set(scores.reference_ids)) == 4
    assert scores.ms_per_image > 0


def test_labels_never_reach_the_method(target: TargetDomain) -> None:
    flipped = dataclasses.replace(target, labels=1 - target.labels)
    first, second = (score_target(method(), t, num_references=4, seed=0) for t in (target, flipped))
    np.testing.assert_array_equal(first.image_scores, second.image_scores)
    assert second.metrics.image_auroc == 0.0


def test_draws_of_one_seed_nest_and_differ_by_seed_and_domain() -> None:
    few, many = draw_references("t", 20, 3, 0), draw_references("t", 20, 10, 0)
    assert many[:3] == few
    assert len(set(many)) == 10
    assert draw_references("t", 20, 10, 1) != many
    assert draw_references("u", 20, 10, 0) != many


@pytest.mark.parametrize(("text", "count"), [("3", 3), ("25%", 2), ("100%", 7), (" all ", 7), ("0.1%", 1)])
def test_counts(text: str, count: int) -> None:
    assert count_references("t", 7, parse_num_references(text)) == count


def test_counts_that_cannot_be_are_refused() -> None:
    for text in ("many", "0%", "101%", "1.5", ""):
        with pytest.raises(SettingsError, match=r"`num_references` must be a whole number, a percentage"):
            parse_num_references(text)
    with pytest.raises(DataError, match="at least 1, but got 0"):
        count_references("t", 7, 0)
    with pytest.raises(DataError, match="at most 7, the train normals of domain `t`, but got 8"):
        count_references("t", 7, 8)
    with pytest.raises(DataError, match="`t` has no train normals"):
        count_references("t", 0, "all")


def test_normal_range_scores_left_out_references_only() -> None:
    references = surface(6, 10, defect=False, seed=3)
    settings = PatchKnnSettings(num_levels=1, neighbourhood=3, reference_norm="channel", top_fraction=0.05)
    # With drawn weights what normal references reach is clearest on the statistics they were drawn with.
    drawn = context()
    features = dataclasses.replace(drawn.features, normalisation="pretrained")
    plain = PatchKnnMethod(
        dataclasses.replace(settings, density_correction=False), dataclasses.replace(drawn, features=features)
    )
    found = measure_normal_range(plain, references)
    assert found is not None
    bad = plain.score(surface(4, 10, defect=True, seed=9), plain.enroll(references))
    assert (bad.image > found.image_high).all()
    assert bad.pixels is not None
    assert float(torch.stack(bad.pixels).max()) > found.map_high > found.map_low
    assert measure_normal_range(method(), references.take([0])) is None
