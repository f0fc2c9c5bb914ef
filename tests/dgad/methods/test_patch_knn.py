"""`patch_knn`: its joint map, its settings, and what they refuse."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from dgad.comparer.model import gaussian_smooth
from dgad.errors import SettingsError
from dgad.features.grids import Cells
from dgad.features.settings import FeatureSettings
from dgad.features.statistics import statistics_of
from dgad.methods.patch_knn import ANOMALYDINO, PatchKnnMethod, PatchKnnSettings
from tests.dgad.methods.surfaces import context, joined, surface

QUICK = PatchKnnSettings(max_memory_patches=200)


def scores(settings: PatchKnnSettings, num_references: int = 3) -> torch.Tensor:
    method = PatchKnnMethod(settings, context())
    return method.score(
        surface(3, 12, defect=True, seed=60),
        method.enroll(surface(num_references, 12, defect=False, seed=40)),
    ).image


def test_in_the_joint_map_every_level_weighs_alike() -> None:
    method = PatchKnnMethod(PatchKnnSettings(num_levels=2), context())
    references = surface(4, 12, defect=False, seed=40)
    joined_maps = joined(method, references)
    mean, scale = method._moments(method.reference_passes(references, None), Cells(references))
    square = ((joined_maps - mean.view(1, -1, 1, 1)) / scale.view(1, -1, 1, 1)).square().mean((0, 2, 3))
    fine, coarse = torch.split(square, list(method.backbone.channels))
    assert math.isclose(float(fine.sum()), 0.5, rel_tol=1e-3)
    assert math.isclose(float(coarse.sum()), 0.5, rel_tol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"num_levels": 1},
        {"finest_stride": 8},
        {"neighbourhood": 3},
        {"reference_norm": "channel"},
        {"reference_norm": "none"},
        {"density_correction": False},
        {"top_fraction": 0.2},
        {"score_pooling": "max"},
        {"max_memory_patches": 50},
    ],
    ids=lambda change: "-".join(f"{k}-{v}" for k, v in change.items()),
)
def test_each_setting_changes_the_scores(change: dict[str, object]) -> None:
    start = dataclasses.replace(QUICK, top_fraction=0.1)
    assert not torch.equal(scores(start), scores(dataclasses.replace(start, **change)))  # type: ignore[arg-type]


def test_one_reference_is_enough_and_is_not_corrected() -> None:
    plain = dataclasses.replace(QUICK, density_correction=False)
    assert torch.equal(scores(QUICK, num_references=1), scores(plain, num_references=1))


def test_a_level_that_the_backbone_lacks_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"num_levels.*stride 32"):
        PatchKnnSettings(finest_stride=16, num_levels=3)


def test_the_cosine_distance_is_one_minus_the_cosine() -> None:
    settings = dataclasses.replace(QUICK, distance="cosine", density_correction=False, score_pooling="max")
    method = PatchKnnMethod(dataclasses.replace(settings, reference_norm="none"), context())
    queries = surface(3, 12, defect=True, seed=60)
    references = surface(1, 12, defect=False, seed=40)
    enrolled = method.enroll(references)
    statistics = statistics_of(enrolled.tensors)
    memory = F.normalize(joined(method, references, statistics)[0].flatten(1).T.double(), dim=1)
    memory = memory[[int((memory - m).norm(dim=1).argmin()) for m in enrolled.tensors["memory"]]]
    query_BPC = F.normalize(joined(method, queries, statistics).flatten(2).transpose(1, 2).double(), dim=2)
    expected = (1 - query_BPC @ memory.T).amin(2).amax(1)
    torch.testing.assert_close(method.score(queries, enrolled).image, expected.float(), rtol=1e-3, atol=1e-6)


def test_anomalydino_is_its_recipe() -> None:
    method = PatchKnnMethod(ANOMALYDINO, context(backbone="test_vit"))
    queries, references = surface(2, 12, defect=True, seed=60), surface(3, 12, defect=False, seed=40)
    tokens = [
        F.normalize(method.backbone(images.stack())[0].flatten(2).transpose(1, 2), dim=2)
        for images in (queries, references)
    ]
    distance_BP = (1 - tokens[0] @ tokens[1].flatten(0, 1).T).amin(2)
    scores = method.score(queries, method.enroll(references))
    torch.testing.assert_close(scores.image, distance_BP.amax(1), rtol=1e-3, atol=1e-5)  # 1% of 16 patches
    large = F.interpolate(distance_BP.view(2, 1, 4, 4), size=(64, 64), mode="bilinear")[:, 0]
    assert scores.pixels is not None
    torch.testing.assert_close(torch.stack(scores.pixels), gaussian_smooth(large, 4.0), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"token_layer": -2},
        {"distance": "euclidean"},
        {"reference_norm": "scalar"},
        {"neighbourhood": 3},
        {"density_correction": True},
    ],
    ids=lambda change: "-".join(f"{k}-{v}" for k, v in change.items()),
)
def test_each_setting_changes_the_scores_of_patch_tokens(change: dict[str, object]) -> None:
    scores = []
    for settings in (ANOMALYDINO, dataclasses.replace(ANOMALYDINO, **change)):  # type: ignore[arg-type]
        method = PatchKnnMethod(settings, context(backbone="test_vit"))
        references = surface(3, 12, defect=False, seed=40)
        scores.append(method.score(surface(3, 12, defect=True, seed=60), method.enroll(references)).image)
    assert not torch.equal(*scores)


def test_levels_and_tokens_are_refused_where_the_backbone_has_none() -> None:
    tokens = FeatureSettings(backbone="test_vit", weights="none")
    with pytest.raises(SettingsError, match=r"`finest_stride` and `num_levels`: use patch_knn:anomalydino"):
        PatchKnnMethod.check_features(PatchKnnSettings(), tokens)
    with pytest.raises(SettingsError, match="no patch tokens"):
        PatchKnnMethod.check_features(ANOMALYDINO, FeatureSettings())
    PatchKnnMethod.check_features(ANOMALYDINO, tokens)
    with pytest.raises(SettingsError, match=r"`token_layer` must be -1 \(the last block\).*, but got 3"):
        PatchKnnSettings(token_layer=3)
