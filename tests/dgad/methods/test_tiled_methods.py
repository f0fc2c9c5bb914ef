"""Methods that look at one tile at a time, on images of any size, and what trains on tiles."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from dgad.domains.geometry import map_size
from dgad.domains.image_set import ImageSet
from dgad.domains.region import RegionOfInterest
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS
from dgad.methods.base import Context, Method
from dgad.methods.trivial import measure
from dgad.training.sources import SourceDomain
from tests.dgad.methods.shortened import brief

NAMES = ["agg_pair", "autoencoder", "trustmae", "trivial"]
"""One of each kind that scores by code of its own."""
LEFT = RegionOfInterest(polygons=(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)),))


def photograph(height: int, width: int, seed: int, *, defect_at: int | None = None) -> torch.Tensor:
    """Upright stripes; the defect is a bright patch of 24 px."""
    rng = np.random.default_rng(seed)
    grey = 128 + 60 * np.sin((np.arange(width) + rng.uniform(0, 6)) * 1.05)
    grey = grey + rng.normal(0, 4, (height, width))
    if defect_at is not None:
        grey[20:44, defect_at : defect_at + 24] += 60
    return torch.from_numpy(np.clip(grey, 0, 255).astype(np.uint8)).repeat(3, 1, 1)


def images(count: int, height: int, width: int, seed: int, **options: Any) -> list[torch.Tensor]:
    return [photograph(height, width, seed + n, **options) for n in range(count)]


def source(name: str, height: int, width: int, seed: int) -> SourceDomain:
    good = images(4, height, width, seed)
    bad = images(3, height, width, seed + 50, defect_at=width - 40)
    return SourceDomain(
        name=name,
        images=ImageSet(images=good + bad, keys=tuple(f"{name}{i}" for i in range(7))),
        labels=torch.tensor([0] * 4 + [1] * 3),
        photographs=tuple(f"{name}{i}" for i in range(7)),
    )


def make(name: str, **changes: Any) -> Method:
    features = FeatureSettings(backbone="resnet18", weights="none", scale="native", tile_px=64)
    context = Context(features=features, device=torch.device("cpu"), cache=FeatureCache())
    settings = next(iter(METHODS[name].presets.values()))
    return METHODS[name](dataclasses.replace(brief(settings), **changes), context)


@pytest.mark.parametrize("name", NAMES)
def test_images_of_any_size_are_scored_each_as_alone(name: str) -> None:
    method = make(name)
    enrolled = method.enroll(ImageSet(images=images(2, 64, 160, 20)))
    mixed = [*images(1, 64, 160, 30), *images(2, 50, 70, 40), *images(1, 64, 64, 50)]
    together = method.score(ImageSet(images=mixed), enrolled)
    for i, image in enumerate(mixed):
        alone = method.score(ImageSet(images=[image]), enrolled)
        torch.testing.assert_close(together.image[i : i + 1], alone.image, rtol=1e-3, atol=1e-4)
        if together.pixels is not None:
            assert tuple(together.pixels[i].shape) == map_size(*image.shape[1:])
            assert torch.isfinite(together.pixels[i]).all()


@pytest.mark.parametrize("name", NAMES)
def test_outside_of_the_region_nothing_is_scored_or_enrolled(name: str) -> None:
    method = make(name)
    clean, defective = photograph(64, 256, 1), photograph(64, 256, 1, defect_at=200)
    assert not torch.equal(clean, defective)
    found = []
    for image in (clean, defective):
        regions = (LEFT, LEFT)
        enrolled = method.enroll(ImageSet(images=[photograph(64, 256, 2), image], regions=regions))
        found.append(method.score(ImageSet(images=[image, clean], regions=regions), enrolled))
    torch.testing.assert_close(found[0].image, found[1].image, rtol=1e-4, atol=1e-4)
    if found[0].pixels is not None:
        assert torch.isfinite(found[0].pixels[0][:, :128]).all()
        assert found[0].pixels[0][:, 128:].isnan().all()


def test_an_images_score_is_that_of_its_worst_tile() -> None:
    method = make("agg_pair")
    enrolled = method.enroll(ImageSet(images=images(2, 64, 64, 20)))
    image = photograph(64, 192, 3, defect_at=150)
    tiles = [image[:, :, left : left + 64] for left in (0, 64, 128)]
    whole = method.score(ImageSet(images=[image]), enrolled).image
    torch.testing.assert_close(whole[0], method.score(ImageSet(images=tiles), enrolled).image.amax())


def test_a_map_that_is_stitched_of_tiles_is_high_at_the_defect() -> None:
    method = make("autoencoder", num_steps=40, encoder="conv", stride=4, learning_rate=3e-3)
    enrolled = method.enroll(ImageSet(images=images(3, 64, 200, 20)))
    (map_hw,) = method.score(ImageSet(images=[photograph(64, 200, 3, defect_at=100)]), enrolled).pixels or ()
    assert map_hw[20:44, 100:124].mean() > 2 * map_hw[:, :80].mean()


def states(name: str, sources: list[SourceDomain], **changes: Any) -> list[dict[str, torch.Tensor]]:
    """What two fits from one seed learn."""
    found = []
    for _ in range(2):
        method = make(name, **changes)
        method.fit(sources, seed=0)
        found.append(method.state())
    return found


@pytest.mark.parametrize("mode", ["frozen", "fine_tuned"])
def test_the_comparer_trains_on_bags_masks_and_sizes_that_differ(mode: str) -> None:
    bags, small = source("a", 64, 400, 0), source("b", 50, 64, 9)
    mask = np.zeros((64, 400), dtype=np.bool_)
    mask[20:44, 360:384] = True
    masked = dataclasses.replace(bags, masks=(None,) * 4 + (mask,) * 3)
    changes = {"num_steps": 2, "backbone_mode": mode, "num_levels": 2, "width": 8}
    first, again = states("comparer", [bags, small], **changes)
    (known, _) = states("comparer", [masked, small], **changes)
    for name, weight in first.items():
        assert torch.equal(weight, again[name]), "seeded throughout"
        assert torch.isfinite(weight).all()
    assert any(not torch.equal(weight, known[name]) for name, weight in first.items())


@pytest.mark.parametrize("name", ["agg_pair", "epi_fcr", "eisnet"])
def test_classifiers_train_on_bags_and_sizes_that_differ(name: str) -> None:
    sources = [source("a", 64, 400, 0), source("b", 50, 64, 9)]
    changes = {"num_steps": 2, "normals_per_domain": 1, "abnormals_per_domain": 1}
    first, again = states(name, sources, **changes)
    for key, weight in first.items():
        assert torch.equal(weight, again[key]), "seeded throughout"
        assert torch.isfinite(weight).all()


def test_statistics_of_strips_are_those_of_the_image() -> None:
    image = torch.randint(0, 256, (3, 700, 1900), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    found = measure(ImageSet(images=[image], regions=(LEFT,)), 0)
    grey = image.double().mean(0)[:, :950].numpy()
    changes = np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()
    expected = [grey.mean(), grey.std(), grey.min(), grey.max(), changes / 2]
    assert found.count == grey.size
    np.testing.assert_allclose(found.statistic_F.numpy(), expected, rtol=1e-9)
