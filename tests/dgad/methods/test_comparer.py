"""The comparer's alternatives: each setting changes what it says it changes, and all can be combined."""

import dataclasses
import itertools

import pytest
import torch

from dgad.comparer.settings import ROBUST, ComparerSettings
from dgad.domains.image_set import ImageSet
from dgad.errors import DataError, TrainingError
from dgad.features.statistics import statistics_of
from dgad.methods.comparer import ComparerMethod
from tests.dgad.methods.surfaces import context, source, surface

QUICK = dataclasses.replace(ROBUST, num_steps=2, num_reference_patches=32, max_memory_patches=64)


def fitted(settings: ComparerSettings, seed: int = 0) -> ComparerMethod:
    method = ComparerMethod(settings, context())
    method.fit([source("a", 6), source("b", 9, seed=5)], seed=seed)
    return method


def scores(settings: ComparerSettings, num_references: int = 3) -> torch.Tensor:
    method = fitted(settings)
    references = surface(num_references, 12, defect=False, seed=40)
    return method.score(surface(3, 12, defect=True, seed=60), method.enroll(references)).image


@pytest.mark.parametrize(
    ("head", "aggregation", "pooling"),
    list(
        itertools.product(
            ("mlp", "distance", "mlp_difference"), ("max", "min", "softmin"), ("patches", "image_mean")
        )
    ),
)
def test_every_head_with_every_aggregation_trains_and_scores(
    head: str, aggregation: str, pooling: str
) -> None:
    settings = dataclasses.replace(
        QUICK,
        head=head,
        aggregation=aggregation,
        reference_pooling=pooling,
        backbone_mode="frozen",
        num_levels=2,
        ranking_weight=0.1,
        attention_weight=0.1,
    )
    assert torch.isfinite(scores(settings)).all()


@pytest.mark.parametrize(
    ("name", "value", "beside"),
    [
        ("reference_norm", False, {}),
        ("init", "random", {}),
        ("head", "distance", {}),
        ("aggregation", "max", {}),
        ("temperature", 0.1, {"aggregation": "softmin"}),
        ("reference_pooling", "image_mean", {}),
        ("score_pooling", "max", {}),
        ("top_fraction", 0.1, {}),
        ("num_levels", 2, {}),
        ("finest_stride", 8, {}),
        ("bifpn_layers", 0, {"num_levels": 2}),
        ("level_calibration", True, {"num_levels": 2}),
        ("backbone_mode", "frozen", {}),
        ("ranking_weight", 3.0, {}),
        ("attention_weight", 3.0, {}),
        ("attention_range", "min_max", {"ranking_weight": 1.0}),
        ("anchor_weight", 10.0, {}),
        ("kept_share", 0.5, {}),
        ("flips", False, {}),
        ("num_query_patches", 16, {}),
        ("learning_rate", 1e-4, {}),
    ],
)
def test_each_setting_changes_the_scores(name: str, value: object, beside: dict[str, object]) -> None:
    """`beside` holds for both sides, so that what differs is the one setting."""
    settings = dataclasses.replace(QUICK, **beside)  # type: ignore[arg-type]
    assert getattr(settings, name) != value, "this row changes nothing"
    assert not torch.equal(scores(settings), scores(dataclasses.replace(settings, **{name: value})))


def test_frozen_training_leaves_the_backbone_alone_and_fine_tuning_does_not() -> None:
    untrained = fitted(dataclasses.replace(QUICK, num_steps=0)).backbone.fingerprint()
    assert fitted(dataclasses.replace(QUICK, backbone_mode="frozen")).backbone.fingerprint() == untrained
    assert fitted(QUICK).backbone.fingerprint() != untrained


def test_training_lowers_the_loss_on_an_easy_surface() -> None:
    seen: list[float] = []
    settings = dataclasses.replace(QUICK, num_steps=15, backbone_mode="frozen")
    method = ComparerMethod(
        settings, dataclasses.replace(context(), progress=lambda stage, step, total, loss: seen.append(loss))
    )
    method.fit([source("a", 6), source("b", 9, seed=5)], seed=0)
    assert len(seen) == 15
    assert sum(seen[-3:]) < sum(seen[:3])


def test_level_calibration_standardises_each_level_and_needs_two_references() -> None:
    settings = dataclasses.replace(QUICK, num_steps=0, num_levels=2, level_calibration=True)
    method = fitted(settings)
    references = surface(6, 12, defect=False, seed=40)
    enrolled = method.enroll(references)
    own = statistics_of(enrolled.tensors)
    assert own is not None
    (blocks,) = method._blocks(surface(6, 12, defect=False, seed=90), own)
    fresh = method._level_logits(blocks, enrolled.tensors)
    for level in fresh:
        assert abs(float(level.mean())) < 1
        assert 0.5 < float(level.std()) < 2
    single = method.enroll(references.take([0])).tensors
    assert float(single["level0.location"]) == 0
    assert float(single["level0.scale"]) == 1


def test_a_diverging_fit_names_step_and_settings() -> None:
    method = ComparerMethod(
        dataclasses.replace(QUICK, num_steps=60, learning_rate=1e30, clip_norm=1e30), context()
    )
    with pytest.raises(
        TrainingError, match=r"comparer: the loss became (nan|inf) at step \d+ of 60.*learning_rate"
    ):
        method.fit([source("a", 6), source("b", 9, seed=5)], seed=0)


def test_sources_with_too_few_photographs_are_named() -> None:
    one = source("a", 6)
    same = dataclasses.replace(one, photographs=("p",) * 14)
    with pytest.raises(DataError, match="`a` has no normal image left"):
        ComparerMethod(QUICK, context()).fit([same], seed=0)


def test_queries_may_be_none() -> None:
    method = fitted(dataclasses.replace(QUICK, num_steps=0))
    enrolled = method.enroll(surface(2, 12, defect=False, seed=40))
    empty = method.score(ImageSet(images=torch.zeros(0, 3, 64, 64, dtype=torch.uint8)), enrolled)
    assert empty.image.shape == (0,)
