"""The distance that a backbone sees."""

import torch

from dgad.features.backbone import Backbone
from dgad.reconstruction.perceptual import perceptual_maps
from dgad.settings import FeatureSettings


def backbone() -> Backbone:
    return Backbone(FeatureSettings(weights="none", image_size_px=64), (4, 8), seed=0)


def image() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(60, 200, (1, 3, 64, 64), generator=generator, dtype=torch.uint8)


@torch.no_grad()
def test_equal_images_are_exactly_nowhere_apart() -> None:
    maps = backbone()(image())
    assert (perceptual_maps(maps, maps, 64) == 0).all()


@torch.no_grad()
def test_it_grows_with_a_defect_and_lies_where_the_defect_is() -> None:
    model, whole = backbone(), image()
    means, inside, outside = [], [], []
    for side in (4, 12, 24):
        torn = whole.clone()
        torn[:, :, 8 : 8 + side, 8 : 8 + side] = 255
        map_SS = perceptual_maps(model(whole), model(torn), 64)[0]
        assert float(map_SS.min()) >= 0
        assert float(map_SS.max()) <= 1
        means.append(float(map_SS.mean()))
        inside.append(float(map_SS[8 : 8 + side, 8 : 8 + side].mean()))
        outside.append(float(map_SS[48:, 48:].mean()))
    assert 0 < means[0] < means[1] < means[2]
    assert all(i > 3 * o for i, o in zip(inside, outside, strict=True))


def test_it_is_half_of_one_minus_the_cosine_averaged_over_levels() -> None:
    # One location a level: parallel, whatever the length, is 0; orthogonal 1/2; opposite 1.
    first = [torch.tensor([1.0, 0.0]).view(1, 2, 1, 1), torch.tensor([3.0, 0.0]).view(1, 2, 1, 1)]
    second = [torch.tensor([0.0, 5.0]).view(1, 2, 1, 1), torch.tensor([-2.0, 0.0]).view(1, 2, 1, 1)]
    torch.testing.assert_close(perceptual_maps(first, second, 4), torch.full((1, 4, 4), 0.75))
    stretched = [7 * m for m in first]
    torch.testing.assert_close(perceptual_maps(first, stretched, 4), torch.zeros(1, 4, 4))


def test_a_dead_location_has_a_finite_gradient() -> None:
    dead = torch.zeros(1, 2, 1, 1, requires_grad=True)
    (gradient,) = torch.autograd.grad(perceptual_maps([dead], [torch.ones(1, 2, 1, 1)], 4).sum(), dead)
    assert torch.isfinite(gradient).all()
