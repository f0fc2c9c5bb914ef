"""BatchNorm statistics from references: against float64, mixed surfaces, gradients, memory."""

import pytest
import torch
from torch import Tensor, nn

from dgad.domains.image_set import ImageSet
from dgad.domains.region import RegionOfInterest
from dgad.features.adapted import AdaptedBody, replace_statistics
from dgad.features.backbone import Backbone
from dgad.features.cache import FeatureCache
from dgad.features.frozen import FrozenFeatures
from dgad.features.reference_sample import sample_pixels
from dgad.features.settings import FeatureSettings
from dgad.features.statistics import Adaptation, Statistics, statistics_of, tensors_of

CPU = torch.device("cpu")
SHARE = 0.75


def images(count: int, height: int = 64, width: int = 64, *, seed: int = 0) -> ImageSet:
    """Noise of its own brightness and contrast a seed."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 3, height, width, generator=generator) * (10 + 15 * seed) + 60 + 40 * seed
    pixels = noise.clamp(0, 255).to(torch.uint8)
    return ImageSet(images=pixels, keys=tuple(f"{seed}-{i}-{height}" for i in range(count)))


def make_features(normalisation: str = f"blend {SHARE}", backbone: str = "resnet18") -> FrozenFeatures:
    """With random weights, and statistics as if it had been trained."""
    settings = FeatureSettings(backbone=backbone, weights="none", normalisation=normalisation)
    made = Backbone(settings, (4, 8), seed=0)
    generator = torch.Generator().manual_seed(1)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    return FrozenFeatures(made, FeatureCache(2**26), CPU)


class _Toy(nn.Module):
    """Two convolutions with BatchNorm, as small as an equation can be written out for."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 5, 3, padding=1, bias=False)
        self.last = nn.BatchNorm2d(5)
        for norm in (self.norm, self.last):
            nn.init.uniform_(norm.weight)
            nn.init.normal_(norm.bias)
            nn.init.normal_(norm.running_mean)  # type: ignore[arg-type]
            nn.init.uniform_(norm.running_var, 0.5, 1.5)  # type: ignore[arg-type]
        self.eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        middle = self.norm(self.first(image)).relu()
        return [middle, self.last(self.second(middle))]


def reference_maps(toy: _Toy, own: Tensor, image: Tensor, counted: Tensor, share: float) -> list[Tensor]:
    """The equation in float64: every layer is measured on what the adapted layers before it make."""
    toy = toy.double()
    mean_var, maps = [], []
    for conv, norm in ((toy.first, toy.norm), (toy.second, toy.last)):
        own, image = conv(own), conv(image)
        patches = own.permute(0, 2, 3, 1)[counted]
        mean = (1 - share) * norm.running_mean + share * patches.mean(0)
        var = (1 - share) * norm.running_var + share * patches.var(0, correction=0)
        mean_var.append((mean, var))
        own, image = (
            (x - mean[:, None, None]) / (var + norm.eps).sqrt()[:, None, None] * norm.weight[:, None, None]
            + norm.bias[:, None, None]
            for x in (own, image)
        )
        if norm is toy.norm:
            own, image = own.relu(), image.relu()
        maps.append(image)
    return [*maps, torch.cat([m for m, _ in mean_var]), torch.cat([v for _, v in mean_var])]


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("has_region", [False, True])
def test_every_layer_takes_the_statistics_of_what_the_adapted_layers_before_it_make(
    share: float, has_region: bool
):
    toy = _Toy()
    own, image = torch.randn(2, 3, 6, 7), torch.randn(1, 3, 6, 7)
    counted = torch.ones(2, 6, 7, dtype=torch.bool)
    if has_region:
        counted[:, :, 4:] = False
    body = AdaptedBody(toy, Adaptation(share=share))
    found = body.measure(own, counted if has_region else None)
    maps = body.run(image, [found])
    folded = replace_statistics(toy, found)(image)
    expected = reference_maps(toy, own.double(), image.double(), counted, share)
    for made, wanted in zip([*maps, found.mean_C, found.variance_C], expected, strict=True):
        torch.testing.assert_close(made.double(), wanted, rtol=1e-5, atol=1e-5)
    for made, wanted in zip(folded, expected, strict=False):
        torch.testing.assert_close(made.double(), wanted, rtol=1e-5, atol=1e-5)


def test_the_first_layer_alone_is_adapted_and_less_on_a_flat_surface():
    toy = _Toy()
    own, image = torch.randn(3, 3, 6, 7), torch.randn(1, 3, 6, 7)
    middle = toy.first.double()(own.double())
    toy.float()
    measured = middle.mean((0, 2, 3)), middle.var((0, 2, 3), correction=0)
    assert toy.norm.running_mean is not None
    assert toy.norm.running_var is not None
    pretrained = toy.norm.running_mean.double(), toy.norm.running_var.double()
    ratio = float((measured[1] / pretrained[1]).log().mean().exp())
    for flat_ratio, share in ((0.0, 0.8), (ratio / 2, 0.8), (4 * ratio, 0.2)):
        body = AdaptedBody(toy, Adaptation(share=0.8, only_first=True, flat_ratio=flat_ratio))
        found = body.measure(own)
        for made, before, new, last in zip(
            (found.mean_C, found.variance_C),
            pretrained,
            measured,
            (toy.last.running_mean, toy.last.running_var),
            strict=True,
        ):
            torch.testing.assert_close(
                made[:4].double(), before + share * (new - before), rtol=1e-5, atol=1e-6
            )
            assert last is not None
            assert torch.equal(made[4:], last)
        together = torch.cat([image, own])
        rows = torch.tensor([False, True, True, True])
        by_episode = body.run_episodes(together, torch.zeros(4, dtype=torch.long), rows)
        for made, wanted in zip(by_episode, body.run(together, [found] * 4), strict=True):
            torch.testing.assert_close(made, wanted, rtol=1e-5, atol=1e-5)


def test_a_pass_over_several_episodes_is_that_of_each_alone_and_gradients_flow_through_statistics():
    toy = _Toy()
    body = AdaptedBody(toy, Adaptation(share=SHARE))
    pixels = torch.randn(7, 3, 8, 8)
    group = torch.tensor([0, 0, 1, 1, 0, 1, 1])
    is_reference = torch.tensor([False, True, False, True, True, True, False])
    maps = body.run_episodes(pixels, group, is_reference)
    for g in (0, 1):
        own = body.measure(pixels[(group == g) & is_reference])
        for level, alone in zip(
            maps, body.run(pixels[group == g], [own] * int((group == g).sum())), strict=True
        ):
            torch.testing.assert_close(level[group == g], alone, rtol=1e-5, atol=1e-5)
    pixels.requires_grad_()
    queries = (group == 0) & ~is_reference
    body.run_episodes(pixels, group, is_reference)[1][queries].sum().backward()
    gradient = pixels.grad
    assert gradient is not None
    assert bool(gradient[(group == 0) & is_reference].abs().sum() > 0)
    assert bool(gradient[group == 1].abs().sum() == 0)
    assert toy.first.weight.grad is not None


@pytest.mark.parametrize("folds", [True, False])
@pytest.mark.parametrize("backbone", ["resnet18", "mobilenetv3_small_050"])
def test_a_batch_of_several_surfaces_has_the_maps_of_one_surface_at_a_time(folds: bool, backbone: str):
    features = make_features(backbone=backbone)
    features._bodies.__dict__["can_fold"] = folds  # without: as on a GPU
    surfaces = [images(3, seed=seed) for seed in (0, 1)]
    measured = [features.measure(surface) for surface in surfaces]
    assert measured[0] != measured[1]
    mixed = ImageSet(images=[surfaces[i % 2].images[i // 2] for i in range(6)])
    found: dict[int, list[Tensor]] = {}
    for blocks in features.blocks(mixed, statistics=[measured[i % 2] for i in range(6)]):
        for row, index in enumerate(blocks.images):
            found[index] = [level[row] for level in blocks.levels]
    for s in (0, 1):
        alone = features.maps(surfaces[s].without_keys(), statistics=measured[s])
        for level, maps in enumerate(alone):
            made = torch.stack([found[2 * i + s][level] for i in range(3)])
            assert float((made - maps).abs().max()) <= 1e-5 * float(maps.abs().max())


def test_maps_are_kept_apart_by_the_surfaces_that_normalise_them():
    features = make_features()
    own, other = images(3, seed=0), images(3, seed=1)
    first, second = features.measure(own), features.measure(other)
    kept = features.maps(own, statistics=first)
    torch.testing.assert_close(features.maps(own, statistics=first), kept, rtol=0, atol=0)
    assert float((features.maps(own, statistics=second)[0] - kept[0]).abs().max()) > 1e-3
    pretrained = features.maps(own)
    assert float((pretrained[0] - kept[0]).abs().max()) > 1e-3
    plain = make_features("pretrained")
    assert plain.measure(own) is None
    torch.testing.assert_close(plain.maps(own), pretrained, rtol=0, atol=0)


def test_statistics_are_stored_as_tensors_and_equal_by_their_values():
    found = Statistics(mean_C=torch.arange(3.0), variance_C=torch.ones(3))
    again = statistics_of(tensors_of(found))
    assert again == found
    assert again != Statistics(mean_C=torch.arange(3.0), variance_C=2 * torch.ones(3))
    assert statistics_of(tensors_of(None)) is None


def test_what_images_are_filled_up_with_and_what_lies_outside_of_a_region_does_not_count():
    left = RegionOfInterest(polygons=(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)),))
    small, other = images(1, 40, 64).images[0], images(1, 64, 64).images[0]
    pixels, counted = sample_pixels(ImageSet(images=[small, other], regions=(None, left)))
    assert pixels.shape == (2, 3, 64, 64)
    assert counted is not None
    assert counted[0].sum() == 40 * 64
    assert counted[1, :, :32].all()
    assert not counted[1, :, 33:].any()
    assert sample_pixels(ImageSet(images=[other]))[1] is None


def test_of_large_references_tiles_are_taken_that_are_spread_and_bounded():
    large = [torch.full((3, 1024, 1536), value, dtype=torch.uint8) for value in range(12)]
    pixels, counted = sample_pixels(ImageSet(images=large))
    assert counted is None
    assert pixels.shape[1:] == (3, 256, 256)
    assert len(pixels) * 256**2 <= 2**21
    assert set(pixels[:, 0, 0, 0].tolist()) == set(range(12))
    bands = torch.arange(2048).view(1, 2048, 1).expand(3, -1, 1536) // 256
    places, _ = sample_pixels(ImageSet(images=[bands.to(torch.uint8)]))
    assert len(places) == 32
    assert places.unique().tolist() == list(range(8))
