"""Large images in blocks: what the network is shown, and that maps come out as those of the whole image."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.errors import DgadWarning, SettingsError
from dgad.features import blocks as cutting_module
from dgad.features.backbone import Backbone
from dgad.features.blocks import Cutting, Window, cut_image, cut_pixels
from dgad.features.cache import FeatureCache
from dgad.features.frozen import Blocks, FrozenFeatures, crop
from dgad.features.settings import FeatureSettings

CPU = torch.device("cpu")


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, -(-height // 8), -(-width // 8), generator=generator)
    image = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]
    return (image * 200 + torch.rand(3, height, width, generator=generator) * 55).to(torch.uint8)


def frozen(
    name: str = "resnet18", strides: tuple[int, ...] = (4, 8), *, margin: int = 1, **settings: Any
) -> FrozenFeatures:
    features = FeatureSettings(backbone=name, **{"weights": "none", "scale": "native", **settings})
    backbone = Backbone(features, strides, seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in backbone.parameters():  # as they start, many branches give nothing
            if parameter.ndim <= 1:
                parameter.uniform_(0.5, 1.0, generator=generator)
    return FrozenFeatures(backbone, FeatureCache(), CPU, margin_cells=margin)


def small_blocks(monkeypatch: pytest.MonkeyPatch, area_px: int = 180**2) -> None:
    """Blocks as small as their context allows, so that small images have several."""
    monkeypatch.setattr(cutting_module, "BLOCK_PX", area_px)
    monkeypatch.setattr("dgad.features.frozen.BLOCK_PX", area_px)
    monkeypatch.setattr(cutting_module, "_CONTEXT_SHARE", 1)
    cut_image.cache_clear()


@pytest.fixture(autouse=True)
def _forget_cuts() -> Any:
    yield
    cut_image.cache_clear()


def assembled(batches: list[Blocks], strides: tuple[int, ...], *, margin: bool = False) -> list[Tensor]:
    """The maps of one image, put together from cores; or the largest given window over each cell."""
    rows = max(p.core.bottom for b in batches for p in b.places)
    columns = max(p.core.right for b in batches for p in b.places)
    whole = []
    for stride, channels in zip(strides, (level.shape[1] for level in batches[0].levels), strict=True):
        whole.append(torch.full((channels, rows // stride, columns // stride), torch.nan))
    for batch in batches:
        for row, place in enumerate(batch.places):
            window = place.given if margin else place.core
            for stride, level, into in zip(strides, batch.levels, whole, strict=True):
                cells = crop(level[row], stride, outer=place.given, inner=window)
                top, left = window.top // stride, window.left // stride
                into[:, top : top + cells.shape[1], left : left + cells.shape[2]] = cells
    return whole


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (1024, 1024), (1025, 1024), (2048, 2448), (40, 30000)])
@pytest.mark.parametrize(
    "cutting",
    [
        Cutting(align_px=8, reach_px=56, margin_px=8),
        Cutting(align_px=32, reach_px=320, margin_px=32),
        Cutting(align_px=16, reach_px=None, margin_px=16),
        Cutting(align_px=14, reach_px=None, margin_px=14, window_px=252, stretches=True),
        Cutting(align_px=8, reach_px=56, overlap_px=0),
    ],
)
def test_cores_cover_every_pixel_once_with_margin_and_context_where_the_image_goes_on(
    size: tuple[int, int], cutting: Cutting
) -> None:
    places = cut_image(*size, cutting)
    covered = np.zeros((max(p.core.bottom for p in places), max(p.core.right for p in places)), dtype=int)
    height, width = covered.shape
    assert height >= size[0]
    assert width >= size[1]
    for place in places:
        core, given, seen = place.core, place.given, place.seen
        covered[core.top : core.bottom, core.left : core.right] += 1
        for low, high, end in (("top", "bottom", height), ("left", "right", width)):
            edges = [getattr(w, e) for w in (seen, given, core) for e in (low, high)]
            if len(places) > 1:
                assert not any(edge % cutting.align_px for edge in edges)
            assert getattr(given, low) == max(0, getattr(core, low) - cutting.margin_px)
            assert getattr(given, high) == min(end, getattr(core, high) + cutting.margin_px)
            if cutting.window_px is None and cutting.reach_px is not None and len(places) > 1:
                context = cutting.context_px
                assert getattr(seen, low) == max(0, getattr(given, low) - context)
                assert getattr(seen, high) == min(end, getattr(given, high) + context)
        if cutting.window_px is not None:
            assert (seen.height, seen.width) == (252, 252)
    assert (covered == 1).all()
    if cutting.reach_px == 56:
        assert max(p.seen.height * p.seen.width for p in places) <= 2**20
    seen_px = sum(p.seen.height * p.seen.width for p in places)
    if cutting.overlap_px == 0 and min(size) >= 1024:
        assert seen_px == height * width


def test_what_is_missing_at_the_right_and_below_is_reflected_however_small_the_image_is() -> None:
    for height, width in ((1, 1), (2, 5), (9, 33)):
        image = noise(height, width)
        window = Window(top=0, left=0, bottom=40, right=64)
        filled = np.pad(image.numpy(), ((0, 0), (0, 40 - height), (0, 64 - width)), mode="reflect")
        np.testing.assert_array_equal(cut_pixels(image, window).numpy(), filled)
        inner = Window(top=8, left=16, bottom=40, right=64)
        np.testing.assert_array_equal(cut_pixels(image, inner).numpy(), filled[:, 8:, 16:])


@pytest.mark.parametrize(
    ("name", "strides", "size"),
    [
        ("resnet18", (4, 8), (213, 300)),
        ("tf_mobilenetv3_small_minimal_100", (4, 8), (170, 410)),
        ("test_convnext", (4, 8), (340, 190)),
    ],
)
def test_maps_of_a_large_image_are_those_of_the_whole_image(
    name: str, strides: tuple[int, ...], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = noise(*size)
    features = frozen(name, strides)
    (whole,) = features.blocks(ImageSet(images=[image]))
    small_blocks(monkeypatch)
    batches = list(features.blocks(ImageSet(images=[image])))
    assert sum(map(len, batches)) > 2
    for margin in (False, True):
        for level, expected in zip(assembled(batches, strides, margin=margin), whole.levels, strict=True):
            difference = (level - expected[0]).abs().max()
            assert float(difference) <= 1e-5 * float(expected.abs().max())


def test_context_of_the_users_own_choosing_is_taken_and_may_leave_seams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = noise(161, 300)
    small_blocks(monkeypatch)
    (exact,), (cut,) = (
        [assembled(list(f.blocks(ImageSet(images=[image]))), (4,)) for f in [frozen(strides=(4,), **own)]]
        for own in ({}, {"overlap_px": 0})
    )
    difference = (exact[0] - cut[0]).abs().amax(0) / exact[0].abs().max()
    assert float(difference.max()) > 1e-2
    assert float(difference.median()) < 1e-5


def test_blocks_of_one_shape_share_a_batch_whichever_images_they_are_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small, odd, large = noise(64, 64), noise(61, 63), noise(213, 300)
    images = ImageSet(images=[small, large, small.flip(1), odd, large.flip(2)])
    small_blocks(monkeypatch, 200**2)
    features = frozen()
    shared = list(features.blocks(images))
    assert (0, 2, 3) in [b.images for b in shared]
    assert max(len(b) * b.places[0].seen.height * b.places[0].seen.width for b in shared) <= 200**2
    for index in range(len(images)):
        alone = list(features.blocks(images.take([index])))
        own = [
            dataclasses.replace(
                b,
                images=(index,),
                places=(b.places[row],),
                sizes=(b.sizes[row],),
                levels=[m[row : row + 1] for m in b.levels],
            )
            for b in shared
            for row, image in enumerate(b.images)
            if image == index
        ]
        for found, expected in zip(assembled(own, (4, 8)), assembled(alone, (4, 8)), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_sixteen_small_images_are_one_batch() -> None:
    images = ImageSet(images=torch.stack([noise(128, 128, seed) for seed in range(17)]))
    assert [len(b) for b in frozen().blocks(images)] == [16, 1]


class _Photographs:
    """Images that are decoded when they are asked for, and count how often."""

    def __init__(self, *images: Tensor) -> None:
        self._images = images
        self.sizes = [tuple(image.shape[1:]) for image in images]
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Tensor:
        self.asked.append(index)
        return self._images[index]


def test_blocks_are_kept_by_image_and_window_and_an_image_is_decoded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_blocks(monkeypatch, 200**2)
    photographs = _Photographs(noise(64, 64), noise(213, 300))
    images = ImageSet(images=photographs, keys=("small", "large"))
    features = frozen()
    first = list(features.blocks(images))
    assert photographs.asked == [0, 1]
    num_blocks = sum(map(len, first))
    assert len(features.cache) == 2 * num_blocks
    assert features.cache.get((features.fingerprint, 4, "small")) is not None
    monkeypatch.delattr(Backbone, "forward")  # a second computation would now fail
    for batch, again in zip(first, features.blocks(images), strict=True):
        assert batch.places == again.places
        for found, expected in zip(again.levels, batch.levels, strict=True):
            assert torch.equal(found, expected)
    assert photographs.asked == [0, 1]


def test_maps_too_large_for_the_cache_push_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch, 200**2)
    features = frozen()
    features.cache.max_bytes = 4_000_000
    list(features.blocks(ImageSet(images=[noise(64, 64), noise(213, 300)], keys=("small", "large"))))
    assert len(features.cache) == 2


def test_a_network_that_looks_across_the_whole_image_is_nearly_right_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = noise(160, 300)
    features = frozen("mobilenetv3_small_100", (4, 8))
    (whole,) = features.blocks(ImageSet(images=[image]))
    small_blocks(monkeypatch, 128**2)
    monkeypatch.setattr(cutting_module, "_WINDOW_PX", 128)
    with pytest.warns(DgadWarning, match=r"mobilenetv3_small_100.*looks across the whole image"):
        batches = list(features.blocks(ImageSet(images=[image])))
    assert {(p.seen.height, p.seen.width) for b in batches for p in b.places} == {(128, 128)}
    for level, expected in zip(assembled(batches, (4, 8)), whole.levels, strict=True):
        spread = expected[0] - expected[0].mean((1, 2), keepdim=True)
        assert 1e-4 < float((level - expected[0]).norm() / spread.norm()) < 0.1


@pytest.mark.parametrize("tile_px", [64, 128])
def test_tokens_of_neighbouring_tiles_nearly_agree(tile_px: int) -> None:
    settings = FeatureSettings(backbone="test_vit", weights="none", scale="native", tile_px=tile_px)
    backbone = Backbone(settings, seed=0, token_layer=-1)
    features = FrozenFeatures(backbone, FeatureCache(), CPU, margin_cells=1)
    batches = list(features.blocks(ImageSet(images=[noise(200, 300)])))
    assert {(p.seen.height, p.seen.width) for b in batches for p in b.places} == {(tile_px, tile_px)}
    ((cores,), (others,)) = (assembled(batches, (16,), margin=m) for m in (False, True))
    spread = cores - cores.mean((1, 2), keepdim=True)
    assert 0 < float((cores - others).norm() / spread.norm()) < 0.25


def test_small_images_on_a_transformer_are_filled_up_to_its_tile() -> None:
    settings = FeatureSettings(backbone="test_vit", weights="none", scale="native", tile_px=64)
    features = FrozenFeatures(Backbone(settings, seed=0, token_layer=-1), FeatureCache(), CPU)
    (batch,) = features.blocks(ImageSet(images=[noise(20, 40)]))
    assert batch.levels[0].shape[-2:] == (4, 4)


def test_a_backbone_that_cannot_be_cut_takes_small_images_and_refuses_large_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features = frozen("inception_v3", (4, 8))
    assert features.maps(ImageSet(images=[noise(97, 130)]))[0].shape[-2:] == (22, 30)
    small_blocks(monkeypatch, 200**2)
    with pytest.raises(SettingsError, match=r"`inception_v3` cannot be computed in parts.*300 x 213 px"):
        list(features.blocks(ImageSet(images=[noise(213, 300)])))


def test_whole_maps_of_an_image_that_is_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch, 200**2)
    with pytest.raises(SettingsError, match=r"300 x 213 px is too large to be looked at whole"):
        frozen().maps(ImageSet(images=[noise(213, 300)]))
