"""A second backbone, joined: its text, its maps beside the first one's, and who takes it."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from dgad.bundle import load_method, write_bundle
from dgad.domains.image_set import ImageSet
from dgad.errors import SettingsError
from dgad.features import blocks, frozen
from dgad.features.backbone import Backbone
from dgad.features.cache import FeatureCache
from dgad.features.frozen import FrozenFeatures
from dgad.features.second import SecondBackbone, parse_second
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS
from dgad.methods.base import Context
from dgad.methods.comparer import ComparerMethod
from dgad.methods.patch_knn import ANOMALYDINO, PatchKnnMethod, PatchKnnSettings
from dgad.methods.patchcore import PatchcoreMethod
from dgad.model_card import model_card
from tests.dgad.methods.surfaces import surface

SECOND = "tf_mobilenetv3_small_minimal_100 none 8+16"  # padded by TensorFlow's rule, other mean and deviation
BOTH = FeatureSettings(backbone="test_resnet", weights="none", scale="squash 64", second_backbone=SECOND)
CPU = torch.device("cpu")


def _context(**changes: Any) -> Context:
    return Context(features=dataclasses.replace(BOTH, **changes), device=CPU, cache=FeatureCache())


@pytest.mark.parametrize(
    "text", ["resnet34", "resnet34 none", "resnet34 none 8,16", "resnet34 8+16", "a none 16+8", "a none 8+8"]
)
def test_its_text_is_a_name_weights_and_strides(text: str) -> None:
    with pytest.raises(SettingsError, match="`second_backbone` must "):
        FeatureSettings(second_backbone=text)


def test_weights_may_be_a_path_with_spaces() -> None:
    found = parse_second("  resnet34  /some where/w.safetensors  4+8 ")
    assert found == SecondBackbone(backbone="resnet34", weights="/some where/w.safetensors", strides=(4, 8))
    assert parse_second(str(found)) == found
    assert parse_second("none") is None


@torch.no_grad()
def test_the_maps_are_those_of_both() -> None:
    both = dataclasses.replace(BOTH, backbone="resnet18")
    joined = Backbone(both, (4, 8), seed=3, joins_second=True)
    first, second = (Backbone(own, s, seed=3) for own, s in zip(both.each, ((4, 8), (8, 16)), strict=True))
    assert joined.strides == (4, 8, 8, 16)
    assert joined.channels == (*first.channels, *second.channels)
    assert not torch.equal(first.mean, second.mean)
    images = surface(2, 8, defect=True, seed=0).stack()
    wanted = [*first(images), *second(images)]
    for found, own in zip(joined(images), wanted, strict=True):
        torch.testing.assert_close(found, own, rtol=1e-4, atol=1e-4 * float(own.abs().max()))


def test_cached_maps_of_one_stride_are_told_apart() -> None:
    features = FrozenFeatures(Backbone(BOTH, (4, 8), seed=0, joins_second=True), FeatureCache(), CPU)
    images = surface(2, 8, defect=False, seed=0)
    once, again = features.maps(images), features.maps(images)
    assert len(features.cache) == 2 * 4
    for one, other in zip(once, again, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@torch.no_grad()
def test_blocks_of_both_are_cut_by_the_one_that_sees_farther(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_PX", 2**14)
    monkeypatch.setattr(frozen, "BLOCK_PX", 2**14)
    monkeypatch.setattr(blocks, "_MAX_BLOCK_PX", 2**17)
    backbone = Backbone(BOTH, (4, 8), seed=0, joins_second=True)
    features = FrozenFeatures(backbone, FeatureCache(), CPU, margin_cells=1)
    size = (160, 1200)
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole, seen = backbone(image[None]), 0
    for batch in features.blocks(ImageSet(images=[image], keys=())):
        for row, place in enumerate(batch.places):
            seen += place.core.height * place.core.width
            for level, own, stride in zip(batch.levels, whole, backbone.strides, strict=True):
                wanted = own[0, :, place.given.top // stride : place.given.bottom // stride]
                wanted = wanted[..., place.given.left // stride : place.given.right // stride]
                torch.testing.assert_close(level[row], wanted, rtol=0, atol=1e-4 * float(own.abs().max()))
    assert len(features._cut(size)) > 1
    assert seen >= size[0] * size[1]


@pytest.mark.parametrize("normalisation", ["pretrained", "references"])
def test_a_bundle_of_both_needs_neither_s_weights(tmp_path: Path, normalisation: str) -> None:
    method = PatchKnnMethod(PatchKnnSettings(), _context(normalisation=normalisation))
    told: dict[str, Any] = {"num_references": 3, "protocol": "nested", "targets": {}, "comparison": {}}
    card = model_card(method, label="patch_knn", training_domains=(), **told)
    assert f"`test_resnet` joined with `{SECOND}`" in card
    write_bundle(tmp_path / "b", method, metrics={}, card=card, provenance={"training_domains": []})
    served = load_method(tmp_path / "b", CPU)
    references, queries = surface(3, 8, defect=False, seed=0), surface(4, 8, defect=True, seed=1)
    own, other = (m.score(queries, m.enroll(references)).image for m in (method, served))
    torch.testing.assert_close(own, other, rtol=0, atol=0)
    enrolled = method.enroll(references).tensors
    assert enrolled["memory"].shape[1] == sum(method.backbone.channels)
    if normalisation == "references":  # of the BatchNorms of both
        norms = [m for m in method.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert len(enrolled["norm.mean"]) == sum(m.num_features for m in norms)


def test_every_level_weighs_alike() -> None:
    method = PatchKnnMethod(PatchKnnSettings(), _context())
    scale_C = method.enroll(surface(3, 8, defect=False, seed=0)).tensors["scale"]
    each = [part.unique() for part in scale_C.split(list(method.backbone.channels))]
    assert [len(part) for part in each] == [1] * 4
    assert len(torch.cat(each).unique()) == 4


def test_drawn_settings_name_the_same_networks() -> None:
    found = FeatureSettings(second_backbone="resnet34 /w.safetensors 8").drawn
    assert (found.weights, found.second_backbone) == ("none", "resnet34 none 8")
    assert FeatureSettings().drawn == FeatureSettings(weights="none")


@pytest.mark.parametrize("method", sorted({"comparer", "patchcore", "agg", "autoencoder"}))
def test_methods_that_do_not_bring_levels_to_one_scale_refuse_it(method: str) -> None:
    kind = METHODS[method]
    preset = next(iter(kind.presets.values()))
    with pytest.raises(
        SettingsError, match=r"joins levels of patch_knn alone.*leave the second backbone out"
    ):
        kind.check_features(preset, BOTH)
    if kind in (ComparerMethod, PatchcoreMethod):
        with pytest.raises(SettingsError, match="joins levels of patch_knn alone"):
            kind(preset, _context())


def test_what_cannot_be_joined_is_told() -> None:
    check, knn = PatchKnnMethod.check_features, PatchKnnSettings()
    with pytest.raises(SettingsError, match=r"no finer level than the first, whose finest has stride 8"):
        check(PatchKnnSettings(finest_stride=8), dataclasses.replace(BOTH, second_backbone="resnet34 none 4"))
    with pytest.raises(SettingsError, match=r"`resnet34` has feature maps of strides .* but \[64\]"):
        check(knn, dataclasses.replace(BOTH, second_backbone="resnet34 none 8+64"))
    with pytest.raises(SettingsError, match=r"name of a timm model, but got 'resnet3'"):
        Backbone(
            dataclasses.replace(BOTH, second_backbone="resnet3 none 8"), (4, 8), seed=0, joins_second=True
        )
    with pytest.raises(SettingsError, match="feature maps of one stride only"):
        check(knn, dataclasses.replace(BOTH, second_backbone="test_vit none 8"))
    with pytest.raises(SettingsError, match="without `token_layer`"):
        check(ANOMALYDINO, dataclasses.replace(BOTH, backbone="test_vit"))
    with pytest.raises(SettingsError, match="backbone `convnext_atto` has none"):
        check(
            knn, dataclasses.replace(BOTH, normalisation="references", second_backbone="convnext_atto none 8")
        )
