"""`patch_knn`: its joint map, its settings, and what they refuse."""

import dataclasses
import math

import pytest
import torch

from dgad.errors import SettingsError
from dgad.methods.patch_knn import PatchKnnMethod, PatchKnnSettings
from tests.dgad.methods.surfaces import context, surface

QUICK = PatchKnnSettings(max_reference_patches=200)


def scores(settings: PatchKnnSettings, num_references: int = 3) -> torch.Tensor:
    method = PatchKnnMethod(settings, context())
    return method.score(
        surface(3, 12, defect=True, seed=60),
        method.enroll(surface(num_references, 12, defect=False, seed=40)),
    ).image


def test_in_the_joint_map_every_level_weighs_alike() -> None:
    method = PatchKnnMethod(PatchKnnSettings(num_levels=2), context())
    references = surface(4, 12, defect=False, seed=40)
    joined = method._joined_maps(references)
    mean, scale = method._statistics(joined)
    square = ((joined - mean.view(1, -1, 1, 1)) / scale.view(1, -1, 1, 1)).square().mean((0, 2, 3))
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
        {"max_reference_patches": 50},
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
