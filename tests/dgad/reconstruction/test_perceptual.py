"""The distance that a backbone sees."""

import math

import torch
from torch import Tensor

from dgad.features.backbone import Backbone
from dgad.features.settings import FeatureSettings
from dgad.reconstruction.perceptual import PerceptualDistance


def backbone() -> Backbone:
    return Backbone(FeatureSettings(weights="none", scale="squash 64"), (4, 8), seed=0)


def image() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(60, 200, (1, 3, 64, 64), generator=generator, dtype=torch.uint8)


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_equal_images_are_exactly_nowhere_apart() -> None:
    model = backbone()
    maps = model(image())
    distance = PerceptualDistance(model.channels)
    distance.scale_by([maps])
    assert (distance(maps, maps, (64, 64)) == 0).all()


@torch.no_grad()
def test_it_grows_with_a_defect_and_lies_where_the_defect_is() -> None:
    model, whole = backbone(), image()
    distance = PerceptualDistance(model.channels)
    distance.scale_by([model(whole)])
    means, inside, outside = [], [], []
    for side in (4, 12, 24):
        torn = whole.clone()
        torn[:, :, 8 : 8 + side, 8 : 8 + side] = 255
        map_SS = distance(model(whole), model(torn), (64, 64))[0]
        assert float(map_SS.min()) >= 0
        means.append(float(map_SS.mean()))
        inside.append(float(map_SS[8 : 8 + side, 8 : 8 + side].mean()))
        outside.append(float(map_SS[48:, 48:].mean()))
    assert 0 < means[0] < means[1] < means[2]
    assert all(i > 3 * o for i, o in zip(inside, outside, strict=True))


def test_it_equals_a_plain_loop() -> None:
    references = [drawn(3, 2, 1, 1, seed=0), drawn(3, 4, 1, 1, seed=1)]
    maps = [drawn(1, 2, 1, 1, seed=2), drawn(1, 4, 1, 1, seed=3)]
    rebuilt = [drawn(1, 2, 1, 1, seed=4), drawn(1, 4, 1, 1, seed=5)]
    distance = PerceptualDistance([2, 4])
    distance.scale_by([[m[:2] for m in references], [m[2:] for m in references]])  # in batches
    expected = 0.0
    for reference, level, other in zip(references, maps, rebuilt, strict=True):
        rows = reference.flatten(1).double().tolist()
        width = len(rows[0])
        mean = [sum(row[c] for row in rows) / 3 for c in range(width)]
        variance = sum((row[c] - mean[c]) ** 2 for row in rows for c in range(width)) / (3 * width)
        pairs = zip(level.flatten().tolist(), other.flatten().tolist(), strict=True)
        expected += sum((a - b) ** 2 for a, b in pairs) / width / variance / 2
    map_SS = distance(maps, rebuilt, (4, 4))[0]
    torch.testing.assert_close(map_SS, torch.full((4, 4), expected), rtol=1e-5, atol=1e-6)


def test_centred_what_reconstruction_always_does_is_no_distance() -> None:
    maps = [drawn(4, 3, 2, 2, seed=0)]
    lost = torch.tensor([0.5, -2.0, 1.0]).view(1, 3, 1, 1)
    distance = PerceptualDistance([3])
    before = distance(maps, [maps[0] - lost], (2, 2))
    distance.centre_on([([maps[0][:1]], [maps[0][:1] - lost]), ([maps[0][1:]], [maps[0][1:] - lost])])
    after = distance(maps, [maps[0] - lost], (2, 2))
    torch.testing.assert_close(before, torch.full((4, 2, 2), (0.25 + 4 + 1) / 3))
    torch.testing.assert_close(after, torch.zeros(4, 2, 2), rtol=0, atol=1e-9)
    # What is rebuilt perfectly is then as unusual as what is usual was far.
    torch.testing.assert_close(distance(maps, maps, (2, 2)), before)


def test_blank_references_give_a_finite_distance() -> None:
    distance = PerceptualDistance([2])
    distance.scale_by([[torch.ones(2, 2, 3, 3)]])
    assert math.isfinite(float(distance([torch.zeros(1, 2, 1, 1)], [torch.ones(1, 2, 1, 1)], (2, 2)).max()))


def test_gradients_reach_what_was_rebuilt() -> None:
    rebuilt = drawn(1, 2, 2, 2, seed=1).requires_grad_()
    loss = PerceptualDistance([2])([drawn(1, 2, 2, 2, seed=0)], [rebuilt], (4, 4)).mean()
    (gradient,) = torch.autograd.grad(loss, rebuilt)
    assert torch.isfinite(gradient).all()
    assert (gradient != 0).all()


def test_what_it_takes_from_references_is_stored_and_loaded() -> None:
    distance, other = PerceptualDistance([2]), PerceptualDistance([2])
    maps = [drawn(3, 2, 2, 2, seed=0)]
    distance.scale_by([maps])
    distance.centre_on([(maps, [maps[0] - 1])])
    assert set(distance.state_dict()) == {"scale0", "usual0"}
    other.load_state_dict(distance.state_dict())
    torch.testing.assert_close(other(maps, [2 * maps[0]], (4, 4)), distance(maps, [2 * maps[0]], (4, 4)))
