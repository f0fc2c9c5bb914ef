"""The pretraining objective against a plain float64 transcription."""

import math

import numpy as np
import torch

from dgad.pretraining.objective import (
    _BOUNDARY,
    _TOP_FRACTION,
    COVERED,
    _episode_distances,
    _nearest_distances,
    episode_loss,
    level_loss,
)


def softplus(x: float) -> float:
    return math.log1p(math.exp(-abs(x))) + max(x, 0.0)


def test_nearest_distances_are_those_of_the_double_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 5, 3, 4, generator=generator)
    reference = torch.randn(3, 5, 3, 4, generator=generator)
    found = _nearest_distances(query, reference)
    pool = reference.double().permute(0, 2, 3, 1).reshape(-1, 5)
    for b in range(2):
        for i in range(3):
            for j in range(4):
                each = (pool - query[b, :, i, j].double()).square().mean(1).sqrt()
                assert math.isclose(float(found[b, i, j]), float(each.min()), rel_tol=1e-4)


def test_the_gradient_flows_to_the_nearest_pair_alone() -> None:
    query = torch.randn(1, 4, 2, 2, requires_grad=True)
    reference = torch.randn(1, 4, 3, 3, requires_grad=True)
    _nearest_distances(query, reference).sum().backward()
    offset = query.detach().flatten(2)[0].T[:, None] - reference.detach().flatten(2)[0].T[None]
    chosen = set(offset.square().sum(2).argmin(1).tolist())
    assert reference.grad is not None
    touched = {k for k in range(9) if reference.grad.flatten(2)[0, :, k].abs().sum() > 0}
    assert touched == chosen


def test_an_unchanged_copy_of_a_reference_is_at_distance_nothing_on_every_level() -> None:
    maps = [torch.rand(3, 6, 8, 8), torch.rand(3, 10, 4, 4)]
    for m in maps:
        m[0] = m[2]  # the query is the reference
    levels, joint = _episode_distances(maps, 2, num_joined=2)
    assert [tuple(d.shape) for d in (*levels, joint)] == [(2, 8, 8), (2, 4, 4), (2, 8, 8)]
    for distance in (*levels, joint):
        assert distance[0].max() < 2e-3
        assert distance[1].min() > 2e-3


def test_distances_do_not_depend_on_the_scale_of_the_features() -> None:
    maps = [torch.rand(4, 6, 8, 8)]
    first = _episode_distances(maps, 2, num_joined=1)[0][0]
    second = _episode_distances([7 * maps[0] + 3], 2, num_joined=1)[0][0]
    assert torch.allclose(first, second, atol=1e-3)


def test_the_losses_are_those_of_a_plain_transcription() -> None:
    generator = torch.Generator().manual_seed(3)
    distance = torch.rand(4, 8, 8, generator=generator)
    mask = torch.zeros(4, 32, 32, dtype=torch.bool)
    mask[2, 5:15, 8:20] = True
    mask[3, 20:30, 3:9] = True
    label = torch.tensor([0, 0, 1, 1])
    found = level_loss(distance, mask, label)

    share = mask.double().view(4, 8, 4, 8, 4).mean((2, 4)).numpy()
    d = distance.double().numpy()
    normal = np.zeros((4, 8, 8), dtype=bool)
    for b in range(4):
        for i in range(8):
            for j in range(8):
                around = share[b, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2]
                normal[b, i, j] = around.max() == 0
    defect = share >= COVERED
    z = (d - d[normal].mean()) / d[normal].std(ddof=1) - _BOUNDARY
    patch = np.mean([softplus(-x) for x in z[defect]]) + np.mean([softplus(2 * x) for x in z[normal]])
    top = max(1, round(_TOP_FRACTION * 64))
    image = [np.sort(row.ravel())[-top:].mean() for row in z]
    ranked = np.mean([softplus(image[n] - image[a]) for n in (0, 1) for a in (2, 3)])
    assert math.isclose(float(found.patch), patch, rel_tol=1e-5)
    assert math.isclose(float(found.image), ranked, rel_tol=1e-5)


def test_the_losses_fall_when_defects_lie_farther() -> None:
    distance = torch.rand(2, 8, 8)
    mask = torch.zeros(2, 32, 32, dtype=torch.bool)
    mask[1, 8:16, 8:16] = True
    label = torch.tensor([0, 1])
    near = level_loss(distance, mask, label)
    farther = distance.clone()
    farther[1, 2:4, 2:4] += 5
    far = level_loss(farther, mask, label)
    assert far.patch < near.patch
    assert far.image < near.image


def test_a_defect_smaller_than_a_patch_still_counts() -> None:
    distance = torch.rand(2, 4, 4, requires_grad=True)
    mask = torch.zeros(2, 32, 32, dtype=torch.bool)
    mask[1, 9, 9] = True  # 1/64 of its patch
    level_loss(distance, mask, torch.tensor([0, 1])).patch.backward()
    assert distance.grad is not None
    assert distance.grad[1, 1, 1] < 0


def test_without_any_defect_the_losses_are_finite() -> None:
    found = level_loss(torch.rand(2, 4, 4), torch.zeros(2, 32, 32, dtype=torch.bool), torch.tensor([0, 0]))
    assert float(found.patch) == 0


def test_levels_weigh_as_they_are_told() -> None:
    generator = torch.Generator().manual_seed(1)
    maps = [torch.randn(4, 6, s, s, generator=generator) for s in (8, 4, 2)]
    mask = torch.zeros(2, 32, 32, dtype=torch.bool)
    mask[1, 8:24, 8:24] = True
    label = torch.tensor([0, 1])
    found = episode_loss(maps, mask, label, num_joined=2, coarse_weight=0.5)
    levels, joint = _episode_distances(maps, 2, num_joined=2)
    each = [level_loss(d, mask, label) for d in (*levels, joint)]
    patch = (each[0].patch + each[1].patch + 0.5 * each[2].patch + each[3].patch) / 3.5
    image = (each[0].image + each[1].image + 0.5 * each[2].image + each[3].image) / 3.5
    assert torch.allclose(found.patch, patch)
    assert torch.allclose(found.image, image)


def test_in_the_joint_map_both_levels_weigh_alike() -> None:
    maps = [torch.randn(2, 4, 4, 4), torch.randn(2, 400, 4, 4)]
    levels, joint = _episode_distances(maps, 1, num_joined=2)
    again, _ = _episode_distances([maps[0].repeat(1, 100, 1, 1), maps[1]], 1, num_joined=2)
    _, repeated = _episode_distances([maps[0].repeat(1, 100, 1, 1), maps[1]], 1, num_joined=2)
    assert torch.allclose(levels[0], again[0], atol=1e-3)
    assert torch.allclose(joint, repeated, atol=1e-3)
