"""What AGG, Epi-FCR and EISNet share, with and without references."""

import dataclasses
from typing import Any

import pytest
import torch

from dgad.methods.agg import AggMethod, AggPairMethod, AggPairSettings, AggSettings
from dgad.methods.eisnet import EisnetMethod, EisnetPairMethod, EisnetPairSettings, EisnetSettings
from dgad.methods.epi_fcr import EpiFcrMethod, EpiFcrPairMethod, EpiFcrPairSettings, EpiFcrSettings
from dgad.methods.image_classifier import ImageClassifier
from tests.dgad.methods.surfaces import context, source, surface

FEW: dict[str, Any] = {"num_steps": 2, "normals_per_domain": 1, "abnormals_per_domain": 1}
PLAIN = [(AggMethod, AggSettings), (EpiFcrMethod, EpiFcrSettings), (EisnetMethod, EisnetSettings)]
PAIR = [
    (AggPairMethod, AggPairSettings),
    (EpiFcrPairMethod, EpiFcrPairSettings),
    (EisnetPairMethod, EisnetPairSettings),
]
SOURCES = [source("a", 6), source("b", 9, seed=5)]


def fitted_settings(settings_type: type[Any], **changes: Any) -> Any:
    few = FEW | ({"num_warmup_steps": 1} if issubclass(settings_type, EpiFcrSettings) else {})
    return settings_type(**(few | changes))


def fitted(method_type: type[ImageClassifier], settings_type: type[Any], **changes: Any) -> ImageClassifier:
    method = method_type(fitted_settings(settings_type, **changes), context())
    method.fit(SOURCES, seed=0)
    return method


@pytest.mark.parametrize(("method_type", "settings_type"), PLAIN)
def test_without_the_pair_references_change_nothing(method_type: Any, settings_type: Any) -> None:
    method = fitted(method_type, settings_type)
    queries = surface(3, 12, defect=True, seed=60)
    scores = [
        method.score(queries, method.enroll(surface(n, period, defect=False, seed=40))).image
        for n, period in ((1, 12), (4, 7))
    ]
    assert torch.equal(*scores)


@pytest.mark.parametrize(("method_type", "settings_type"), PAIR)
def test_with_the_pair_the_mean_reference_changes_the_order_and_its_order_does_not(
    method_type: Any, settings_type: Any
) -> None:
    method = fitted(method_type, settings_type)
    queries = surface(12, 12, defect=True, seed=60)
    near, far = surface(4, 12, defect=False, seed=40), surface(4, 5, defect=True, seed=41)
    enrolled = method.enroll(near)
    scores = method.score(queries, enrolled).image
    other = method.score(queries, method.enroll(far)).image
    assert (scores - other).std() > 0
    again = method.enroll(near.take([2, 0, 3, 1]))
    assert torch.equal(enrolled.tensors["reference"], again.tensors["reference"])


@pytest.mark.parametrize(("method_type", "settings_type"), PLAIN + PAIR)
def test_the_score_is_the_difference_of_the_class_logits(method_type: Any, settings_type: Any) -> None:
    method = fitted(method_type, settings_type)
    queries, references = surface(3, 12, defect=True, seed=60), surface(4, 12, defect=False, seed=40)
    mean = None
    if method.pair_hidden is not None:
        mean = method.encoder(references.stack()).mean(0)
    logits = method.classifier(method.encoder(queries.stack()), mean)
    expected = (logits[:, 1] - logits[:, 0]).detach()
    answered = method.score(queries, method.enroll(references))
    assert answered.pixels is None
    torch.testing.assert_close(answered.image, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("method_type", "settings_type"), PLAIN + PAIR)
def test_training_changes_encoder_and_classifier_and_reports_every_step(
    method_type: Any, settings_type: Any
) -> None:
    reported: list[tuple[str, int, int]] = []
    watched = dataclasses.replace(
        context(), progress=lambda stage, step, total, loss: reported.append((stage, step, total))
    )
    method = method_type(fitted_settings(settings_type), watched)
    method.fit(SOURCES, seed=0)
    assert reported == [(method.name, 1, 2), (method.name, 2, 2)]
    start = method_type(method.settings, context())
    for name in ("encoder", "classifier"):
        before, after = getattr(start, name).state_dict(), getattr(method, name).state_dict()
        assert any(not torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("settings_type", [AggPairSettings])
@pytest.mark.parametrize("change", [{"references_per_domain": 1}, {"pair_hidden": 8}], ids=str)
def test_each_setting_of_the_pair_changes_training(settings_type: Any, change: dict[str, int]) -> None:
    queries, references = surface(3, 12, defect=True, seed=60), surface(4, 12, defect=False, seed=40)
    scores = []
    for changes in ({}, change):
        method = fitted(AggPairMethod, settings_type, **changes)
        scores.append(method.score(queries, method.enroll(references)).image)
    assert not torch.equal(*scores)


def test_stride_32_is_there_where_the_backbone_has_it() -> None:
    method = fitted(AggMethod, AggSettings, stride=32)
    assert method.encoder.channels == 512
