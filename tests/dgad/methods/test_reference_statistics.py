"""Methods that normalise with the statistics of their references: at enrolment, in rounds, in training."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from dgad.calibration.left_out_scores import score_left_out
from dgad.comparer.training import EpisodeTraining
from dgad.domains.image_set import ImageSet
from dgad.features.adapted import AdaptedBody
from dgad.features.statistics import Adaptation
from dgad.methods import METHODS, parse_method
from dgad.methods.base import Enrolled, Method
from dgad.methods.comparer import ComparerMethod
from tests.dgad.methods.shortened import brief
from tests.dgad.methods.surfaces import context, source, surface

LABELS = ["patch_knn", "patchcore", "comparer:robust", "contextual"]


def make_method(label: str, normalisation: str = "blend 0.5", **changes: Any) -> Method:
    name, _, settings = parse_method(label)
    if name in ("comparer", "contextual"):
        settings = dataclasses.replace(brief(settings), **changes)
    plain = context()
    features = dataclasses.replace(plain.features, normalisation=normalisation)
    return METHODS[name](settings, dataclasses.replace(plain, features=features))


def statistics(enrolled: Enrolled) -> Tensor:
    return torch.cat([enrolled.tensors["norm.mean"], enrolled.tensors["norm.variance"]])


@pytest.mark.parametrize("label", LABELS)
def test_an_enrolment_holds_the_statistics_of_its_own_references_and_scores_with_them(label: str):
    method = make_method(label)
    first, second = surface(3, 6, defect=False, seed=0), surface(3, 11, defect=False, seed=1)
    queries = surface(2, 6, defect=True, seed=2)
    own, other = method.enroll(first), method.enroll(second)
    assert float((statistics(own) - statistics(other)).abs().max()) > 1e-3
    before = method.score(queries, own)
    # What is stored and loaded elsewhere is all there is to it.
    again = make_method(label)
    again.load_state(method.state())
    stored = dataclasses.replace(own, tensors={k: v.clone() for k, v in own.tensors.items()})
    torch.testing.assert_close(again.score(queries.without_keys(), stored).image, before.image)
    exchanged = dataclasses.replace(
        own, tensors={**own.tensors, **{k: v for k, v in other.tensors.items() if k.startswith("norm.")}}
    )
    assert float((method.score(queries, exchanged).image - before.image).abs().max()) > 1e-4
    assert not any(k.startswith("norm.") for k in make_method(label, "pretrained").enroll(first).tensors)


@pytest.mark.parametrize("label", LABELS)
def test_queries_of_several_surfaces_that_are_prepared_together_score_as_they_do_alone(label: str):
    method = make_method(label)
    targets = [method.enroll(surface(3, period, defect=False, seed=period)) for period in (6, 11)]
    queries = [surface(2, period, defect=True, seed=3) for period in (6, 11)]
    alone = [method.score(q.without_keys(), t).image for q, t in zip(queries, targets, strict=True)]
    together = ImageSet(
        images=[image for q in queries for image in q.images], keys=sum((q.keys for q in queries), ())
    )
    method.context.cache.clear()
    method.prepare(together, [targets[0]] * 2 + [targets[1]] * 2)
    num_kept = len(method.context.cache)
    assert num_kept > 0
    for query, target, expected in zip(queries, targets, alone, strict=True):
        torch.testing.assert_close(method.score(query, target).image, expected, rtol=1e-5, atol=1e-5)
    assert len(method.context.cache) == num_kept  # all was found


def test_no_round_of_left_out_references_knows_the_statistics_of_what_it_scores():
    method = make_method("patch_knn")
    references = surface(3, 6, defect=False, seed=0)
    odd = surface(1, 15, defect=True, seed=9)
    joined = ImageSet(images=[*references.images, *odd.images], keys=(*references.keys, *odd.keys))
    left_out = score_left_out(method, joined, len(joined)).scores
    expected = [
        float(
            method.score(joined.take([i]), method.enroll(joined.take([j for j in range(4) if j != i]))).image
        )
        for i in range(4)
    ]
    assert left_out == pytest.approx(expected, rel=1e-6)


def test_levels_are_calibrated_with_the_statistics_of_each_rounds_references():
    method = make_method("comparer:robust", level_calibration=True, num_steps=0, init="random")
    references = surface(3, 6, defect=False, seed=0)
    seen = []
    features = method._frozen_features()  # type: ignore[attr-defined]
    measure = features.measure

    def spy(images: ImageSet) -> object:
        seen.append(len(images))
        return measure(images)

    features.measure = spy
    method.enroll(references)
    assert seen == [3, 2, 2, 2]


@pytest.mark.parametrize("mode", ["frozen", "fine_tuned"])
def test_a_training_episode_is_normalised_with_its_own_references(mode: str, monkeypatch: pytest.MonkeyPatch):
    method = make_method("comparer:robust", backbone_mode=mode, num_steps=1, flips=False)
    assert isinstance(method, ComparerMethod)
    checked = []
    split = EpisodeTraining._split

    def check(
        training: EpisodeTraining, maps: list[Tensor], alpha: Tensor | None, num_queries: int
    ) -> object:
        checked.append((training, [m.detach().clone() for m in maps], num_queries))
        return split(training, maps, alpha, num_queries)

    drawn = []
    episode_maps = EpisodeTraining._episode_maps

    def remember(training: EpisodeTraining, episodes: Any) -> Any:
        drawn.extend(episodes)
        body = AdaptedBody(training.backbone.body, Adaptation(share=0.5))
        expected = []
        for e in episodes:
            images = e.domain.tiles.images
            own = body.measure(training.backbone.normalise(images.take(e.references).stack()))
            pixels = training.backbone.normalise(images.take((*e.query_tiles, *e.references)).stack())
            with torch.no_grad():
                expected.append(body.run(pixels, [own] * len(pixels)))
        found = episode_maps(training, episodes)
        for (_, maps, _), wanted in zip(checked[-len(episodes) :], expected, strict=True):
            for made, level in zip(maps, wanted, strict=True):
                torch.testing.assert_close(made, level, rtol=1e-4, atol=1e-4)
        return found

    monkeypatch.setattr(EpisodeTraining, "_split", check)
    monkeypatch.setattr(EpisodeTraining, "_episode_maps", remember)
    method.fit([source("a", 6), source("b", 9, seed=5)], seed=0)
    assert drawn
