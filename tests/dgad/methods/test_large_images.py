"""Methods on large images: what they answer block by block is what they answer on the whole image."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dgad.comparer.settings import PRESETS
from dgad.contextual.settings import ContextualSettings
from dgad.domains.image_set import ImageSet
from dgad.domains.region import RegionOfInterest
from dgad.features import blocks as cutting_module
from dgad.features.blocks import cut_image
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods.base import Context, Method, Scores
from dgad.methods.comparer import ComparerMethod
from dgad.methods.contextual import ContextualMethod
from dgad.methods.patch_knn import PatchKnnMethod, PatchKnnSettings
from dgad.methods.patchcore import PatchcoreMethod, PatchcoreSettings

LEFT = RegionOfInterest(polygons=(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)),))


def photograph(height: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    waves = 128 + 40 * torch.sin(rows / 5.0) + 40 * torch.sin(columns / 7.0 + seed)
    noise = torch.randn(3, height, width, generator=generator) * 12
    return (waves + noise).clamp(0, 255).to(torch.uint8)


def context() -> Context:
    return Context(
        features=FeatureSettings(scale="native"), device=torch.device("cpu"), cache=FeatureCache(max_bytes=0)
    )


def knn(**settings: Any) -> Method:
    return PatchKnnMethod(PatchKnnSettings(**settings), context())


def comparer(preset: str, **settings: Any) -> Method:
    method = ComparerMethod(dataclasses.replace(PRESETS[preset], num_steps=0, **settings), context())
    method.fit((), seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in method.comparer.pyramid.named_parameters():
            if "pointwise" in name:  # at 0 they start, so that neighbours are not looked at
                parameter.normal_(0, 0.2, generator=generator)
    return method


def contextual() -> Method:
    method = ContextualMethod(ContextualSettings(width=8), context())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # at 0 it starts, so that neighbours are not looked at
        method.decoder.out.weight.normal_(0, 3.0, generator=generator)
    return method


METHODS: dict[str, Callable[[], Method]] = {
    "patch_knn": knn,
    "averaged": lambda: knn(neighbourhood=5, reference_norm="channel", map_upsampling="bilinear"),
    "patchcore": lambda: PatchcoreMethod(PatchcoreSettings(finest_stride=4, coreset_ratio=1.0), context()),
    "comparer": lambda: comparer("builtin"),
    "contextual": contextual,
    "comparer_of_three_levels": lambda: comparer("untrained", num_levels=3, level_calibration=True),
}


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> Method:
    return METHODS[request.param]()


def answer(method: Method, queries: ImageSet, references: ImageSet) -> Scores:
    return method.score(queries, method.enroll(references))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Any:
    def shrink() -> None:
        monkeypatch.setattr(cutting_module, "BLOCK_PX", 150**2)
        monkeypatch.setattr("dgad.features.frozen.BLOCK_PX", 150**2)
        monkeypatch.setattr(cutting_module, "_CONTEXT_SHARE", 1)
        cut_image.cache_clear()

    yield shrink
    cut_image.cache_clear()


def test_scores_and_maps_of_blocks_are_those_of_the_whole_image(
    method: Method, small_blocks: Callable[[], None]
) -> None:
    # Patches up to the memory's bound are all kept, in whatever order they come.
    references = ImageSet(images=[photograph(61, 90, 1), photograph(50, 170, 2)])
    large = photograph(213, 300, 3)
    large[:, 148:156, 100:112] = 255
    queries = ImageSet(images=[large, photograph(61, 75, 4)])
    whole = answer(method, queries, references)
    small_blocks()
    frozen = method._frozen_features()  # type: ignore[attr-defined]
    assert sum(map(len, frozen.blocks(queries.take([0])))) >= 4
    blocks = answer(method, queries, references)
    torch.testing.assert_close(blocks.image, whole.image, rtol=1e-3, atol=1e-4)
    assert whole.pixels is not None
    assert blocks.pixels is not None
    for found, expected, size in zip(blocks.pixels, whole.pixels, queries.sizes, strict=True):
        assert found.shape == size
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    hottest = int(whole.pixels[0].argmax())
    assert abs(hottest // 300 - 152) < 16
    assert abs(hottest % 300 - 106) < 16


def test_references_in_blocks_are_remembered_as_whole_ones(
    method: Method, small_blocks: Callable[[], None]
) -> None:
    references = ImageSet(images=[photograph(130, 180, 1), photograph(61, 90, 2)])
    queries = ImageSet(images=[photograph(61, 75, 4)])
    whole = answer(method, queries, references)
    small_blocks()
    blocks = answer(method, queries, references)
    torch.testing.assert_close(blocks.image, whole.image, rtol=1e-3, atol=1e-4)


def test_what_lies_outside_of_the_region_neither_counts_nor_is_enrolled(method: Method) -> None:
    # The network sees across the region's border; patches so far from it see none of what changes.
    answers = []
    for seed in (5, 6):
        images = [photograph(64, 400, s) for s in (1, 2, 3)]
        other = photograph(64, 400, seed).flip(2)
        for image in images:
            image[:, :, 360:] = other[:, :, 360:]
        images_of_domain = ImageSet(images=images, regions=(LEFT,) * 3)
        queries, references = images_of_domain.take([0]), images_of_domain.take([1, 2])
        answers.append(answer(method, queries, references))
    torch.testing.assert_close(answers[0].image, answers[1].image, rtol=1e-3, atol=1e-4)
    assert answers[0].pixels is not None
    assert answers[0].pixels[0][:, 200:].isnan().all()
    assert not answers[0].pixels[0][:, :200].isnan().any()


def test_scores_depend_on_no_other_image(method: Method) -> None:
    references = ImageSet(images=[photograph(64, 64, 1), photograph(40, 64, 2)])
    queries = ImageSet(images=[photograph(64, 64, 3), photograph(61, 75, 4), photograph(64, 64, 5)])
    enrolled = method.enroll(references)
    together = method.score(queries, enrolled)
    for index in range(3):
        alone = method.score(queries.take([index]), enrolled)
        torch.testing.assert_close(alone.image[0], together.image[index], rtol=1e-3, atol=1e-4)


def test_what_an_image_is_filled_up_with_is_never_enrolled() -> None:
    enrolled = knn().enroll(ImageSet(images=[photograph(61, 75, 1), photograph(33, 64, 2)]))
    assert len(enrolled.tensors["memory"]) == 16 * 19 + 9 * 16


_PEAK = """
import re, torch
from pathlib import Path
from dgad.domains.image_set import ImageSet
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods.base import Context
from dgad.methods.patch_knn import PatchKnnMethod, PatchKnnSettings

def used_mib(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

torch.set_num_threads(1)
features, device = FeatureSettings(scale="native"), torch.device("cpu")
context = Context(features=features, device=device, cache=FeatureCache(2**30))
method = PatchKnnMethod(PatchKnnSettings(max_memory_patches=64), context)
small = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8)
enrolled = method.enroll(ImageSet(images=small))
method.score(ImageSet(images=small), enrolled)
idle = used_mib("VmRSS")
try:
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that of what follows
except OSError:
    raise SystemExit(77)
large = torch.zeros(3, 3000, 3000, dtype=torch.uint8).random_(0, 256)
scores = method.score(ImageSet(images=[large], keys=("large",)), enrolled)
assert scores.pixels[0].shape == (750, 750)
print(used_mib("VmHWM") - idle)
"""


@pytest.mark.slow
def test_memory_is_bounded_by_blocks_and_not_by_the_image() -> None:
    """Nine megapixels at once would take more than 2.5 GiB."""
    answer = subprocess.run([sys.executable, "-c", _PEAK], check=False, capture_output=True, text=True)
    if answer.returncode == 77:
        pytest.skip("the kernel does not let a process reset its high-water mark")
    assert answer.returncode == 0, answer.stderr
    assert float(answer.stdout) < 800


@pytest.mark.parametrize("method", ["patch_knn", "comparer_of_three_levels"], indirect=True)
def test_blocks_outside_of_a_region_are_not_computed_and_nothing_changes(
    method: Method, small_blocks: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    corner = RegionOfInterest(polygons=(((0.02, 0.03), (0.3, 0.03), (0.31, 0.2), (0.02, 0.29)),))
    references = ImageSet(images=[photograph(213, 300, 1)], regions=(corner,))
    queries = ImageSet(images=[photograph(213, 300, 3), photograph(213, 300, 4)], regions=(corner, LEFT))
    small_blocks()
    # In other company a block's matrix products are rounded otherwise; large ones come one at a time anyway.
    method.context = dataclasses.replace(method.context, scoring_batch=1)
    shown: list[int] = []
    frozen = method._frozen_features()  # type: ignore[attr-defined]
    compute = frozen._compute

    def count(pixels: Tensor, *args: Any) -> Any:
        shown.append(len(pixels))
        return compute(pixels, *args)

    monkeypatch.setattr(frozen, "_compute", count)
    spared = answer(method, queries, references)
    num_spared = sum(shown)
    shown.clear()
    monkeypatch.setattr("dgad.features.frozen.keep_touched", lambda places, *_: places)
    whole = answer(method, queries, references)
    assert 3 <= num_spared < sum(shown)
    assert torch.equal(spared.image, whole.image)
    assert spared.pixels is not None
    assert whole.pixels is not None
    for found, expected in zip(spared.pixels, whole.pixels, strict=True):
        assert torch.equal(found.nan_to_num(-1), expected.nan_to_num(-1))
    assert spared.levels is None or torch.equal(spared.levels, whole.levels)  # type: ignore[arg-type]
