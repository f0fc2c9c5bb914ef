"""`patchcore`: its score against plain transcriptions, and what it refuses."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.errors import SettingsError
from dgad.features.settings import FeatureSettings
from dgad.features.statistics import statistics_of
from dgad.methods.patchcore import PatchcoreMethod, PatchcoreSettings, _reweight
from tests.dgad.methods.surfaces import context, joined, surface

FINE = PatchcoreSettings(finest_stride=4)


def as_printed(patch_PC: Tensor, memory_KC: Tensor, num_neighbours: int) -> float:
    """Eq. 6 and 7 of the paper for one image, in float64, one patch and one neighbour at a time."""
    patches, memory = patch_PC.double(), memory_KC.double()
    each = [min((float((p - m).norm()), k) for k, m in enumerate(memory)) for p in patches]
    farthest = max(range(len(patches)), key=lambda i: each[i][0])
    distance, nearest = each[farthest]
    around = sorted(range(len(memory)), key=lambda k: float((memory[k] - memory[nearest]).norm()))
    total = sum(math.exp(float((patches[farthest] - memory[k]).norm())) for k in around[:num_neighbours])
    return (1 - math.exp(distance) / total) * distance


def as_in_anomalib(patch_PC: Tensor, memory_KC: Tensor, num_neighbours: int) -> float:
    """The steps of `PatchcoreModel.compute_anomaly_score`, for one image."""
    distances, locations = torch.cdist(patch_PC, memory_KC).min(1)
    farthest = distances.argmax()
    nearest = memory_KC[locations[farthest]][None]
    support = torch.cdist(nearest, memory_KC).topk(num_neighbours, largest=False).indices[0]
    to_support = torch.cdist(patch_PC[farthest][None], memory_KC[support])
    return float((1 - torch.softmax(to_support, 1))[0, 0] * distances[farthest])


@pytest.mark.parametrize("num_neighbours", [2, 3, 9])
def test_the_image_score_is_the_papers_and_anomalibs(num_neighbours: int) -> None:
    settings = dataclasses.replace(FINE, num_neighbours=num_neighbours)
    method = PatchcoreMethod(settings, context())
    queries = surface(3, 12, defect=True, seed=60)
    enrolled = method.enroll(surface(2, 12, defect=False, seed=40))
    found = method.score(queries, enrolled).image
    memory = enrolled.tensors["memory"]
    for i in range(3):
        patch_PC = joined(method, queries.take([i]), statistics_of(enrolled.tensors))[0].flatten(1).T
        assert math.isclose(float(found[i]), as_printed(patch_PC, memory, num_neighbours), rel_tol=1e-4)
        assert math.isclose(float(found[i]), as_in_anomalib(patch_PC, memory, num_neighbours), rel_tol=1e-3)


def test_the_nearest_patch_counts_as_its_own_first_neighbour_among_duplicates() -> None:
    memory = torch.tensor([[0.0], [0.0], [5.0]])
    scores = [_reweight(torch.tensor([1.0]), torch.ones(1, 1), torch.tensor([k]), memory, 2) for k in (0, 1)]
    torch.testing.assert_close(scores[0], torch.tensor([0.5]))
    torch.testing.assert_close(scores[1], scores[0])


def test_a_lonely_neighbour_in_the_memory_raises_the_score() -> None:
    distance, patch, nearest = torch.tensor([1.0]), torch.ones(1, 1), torch.tensor([0])
    crowded = _reweight(distance, patch, nearest, torch.tensor([[0.0], [-0.1], [-0.2]]), 3)
    lonely = _reweight(distance, patch, nearest, torch.tensor([[0.0], [-8.0], [-9.0]]), 3)
    assert float(crowded) < float(lonely) < 1.0


def test_with_one_neighbour_or_a_memory_of_one_patch_the_score_is_the_largest_distance() -> None:
    queries, references = surface(3, 12, defect=True, seed=60), surface(1, 12, defect=False, seed=40)
    single = dataclasses.replace(FINE, coreset_ratio=1e-6)
    for settings in (dataclasses.replace(FINE, num_neighbours=1), single):
        method = PatchcoreMethod(settings, context())
        enrolled = method.enroll(references)
        own = statistics_of(enrolled.tensors)
        patch_BPC = joined(method, queries, own).flatten(2).transpose(1, 2)
        expected = torch.cdist(patch_BPC, enrolled.tensors["memory"][None]).amin(2).amax(1)
        torch.testing.assert_close(method.score(queries, enrolled).image, expected, rtol=1e-3, atol=1e-4)


def test_the_map_is_smoothed_as_scipy_does_with_reflected_borders() -> None:
    queries, references = surface(1, 12, defect=True, seed=60), surface(2, 12, defect=False, seed=40)
    raw = PatchcoreMethod(dataclasses.replace(FINE, map_sigma_px=0), context())
    smooth = PatchcoreMethod(FINE, context())
    maps = [torch.stack(m.score(queries, m.enroll(references)).pixels) for m in (raw, smooth)]
    assert maps[0] is not None
    assert maps[1] is not None
    expected = gaussian_filter(maps[0][0].double().numpy(), 4.0, mode="mirror", truncate=4.0)
    np.testing.assert_allclose(maps[1][0].numpy(), expected, rtol=1e-4)


def test_the_memory_is_bounded_by_the_settings() -> None:
    references = surface(3, 12, defect=False, seed=40)  # 768 patches
    for bound, num_kept in ((100, 100), (300, 192), (1000, 192)):
        method = PatchcoreMethod(dataclasses.replace(FINE, max_memory_patches=bound), context())
        assert len(method.enroll(references).tensors["memory"]) == num_kept


@pytest.mark.parametrize(
    "change",
    [
        {"num_levels": 1},
        {"finest_stride": 8},
        {"neighbourhood": 1},
        {"coreset_ratio": 0.5},
        {"num_neighbours": 3},
        {"max_memory_patches": 50},
    ],
    ids=lambda change: "-".join(f"{k}-{v}" for k, v in change.items()),
)
def test_each_setting_changes_the_scores(change: dict[str, object]) -> None:
    def scores(settings: PatchcoreSettings) -> Tensor:
        method = PatchcoreMethod(settings, context())
        references = surface(3, 12, defect=False, seed=40)
        return method.score(surface(3, 12, defect=True, seed=60), method.enroll(references)).image

    assert not torch.equal(scores(FINE), scores(dataclasses.replace(FINE, **change)))  # type: ignore[arg-type]


def test_a_map_upsampled_bilinearly_is_another() -> None:
    queries: ImageSet = surface(1, 12, defect=True, seed=60)
    maps = []
    for mode in ("nearest", "bilinear"):
        method = PatchcoreMethod(PatchcoreSettings(map_upsampling=mode), context())  # type: ignore[arg-type]
        maps.append(torch.stack(method.score(queries, method.enroll(queries)).pixels))
    assert maps[0] is not None
    assert maps[1] is not None
    assert not torch.equal(maps[0], maps[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coreset_ratio": 0.0}, "`coreset_ratio` must be above 0 and at most 1, but got 0.0"),
        ({"coreset_ratio": 1.5}, "`coreset_ratio` must be above 0"),
        ({"num_neighbours": 0}, "`num_neighbours` must be at least 1"),
        ({"neighbourhood": 2}, "`neighbourhood` must be odd"),
        ({"finest_stride": 16, "num_levels": 3}, "stride 32"),
        ({"map_sigma_px": 8.0}, "`map_sigma_px` must be 0 to 7"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        PatchcoreSettings(**change)  # type: ignore[arg-type]


def test_a_vision_transformer_is_refused_before_anything_is_computed() -> None:
    features = FeatureSettings(backbone="test_vit", weights="none")
    with pytest.raises(SettingsError, match=r"one stride only, 16 px.*patch_knn:anomalydino"):
        PatchcoreMethod.check_features(PatchcoreSettings(), features)
