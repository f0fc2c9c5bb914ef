"""The setting `normalisation`: what it may be, on what, and what earlier versions meant."""

import pytest

from dgad.errors import SettingsError
from dgad.features.normalisation import has_batch_norm, parse_normalisation
from dgad.features.settings import FeatureSettings, read_features
from dgad.features.statistics import Adaptation
from dgad.methods import METHODS


@pytest.mark.parametrize(
    ("text", "adaptation"),
    [
        ("pretrained", None),
        ("references", Adaptation(share=1)),
        ("blend 0.5", Adaptation(share=0.5)),
        (" Blend  .25 ", Adaptation(share=0.25)),
    ],
)
def test_a_text_says_what_share_the_references_have(text: str, adaptation: Adaptation | None):
    found = parse_normalisation(text)
    assert found.on("resnet18") == adaptation
    assert parse_normalisation(str(found)) == found


def test_auto_is_the_first_layer_alone():
    found = parse_normalisation("auto").on("resnet18")
    assert found is not None
    assert found.only_first
    assert found == parse_normalisation("first").on("resnet18")


@pytest.mark.parametrize("text", ["blend", "blend 0", "blend 1", "blend 1.5", "adabn", "references 0.5", ""])
def test_what_is_none_is_refused_with_what_is_allowed(text: str):
    with pytest.raises(SettingsError, match="`normalisation` must be"):
        FeatureSettings(normalisation=text)


def test_a_backbone_without_batch_norm_is_refused_by_name_unless_nothing_was_asked():
    assert has_batch_norm("resnet18")
    assert has_batch_norm("tf_efficientnet_lite0")
    assert not has_batch_norm("convnext_atto")
    assert parse_normalisation("auto").on("convnext_atto") is None
    asked = FeatureSettings(backbone="convnext_atto", weights="none", normalisation="references")
    for name in ("patch_knn", "patchcore", "comparer"):
        method = METHODS[name]
        settings = next(iter(method.presets.values()))
        with pytest.raises(SettingsError, match="backbone `convnext_atto` has none: use `pretrained`"):
            method.check_features(settings, asked)


def test_what_an_earlier_version_wrote_keeps_the_pretrained_statistics():
    before = {"backbone": "resnet18", "weights": "none", "scale": "auto", "tile_px": 256, "overlap_px": None}
    assert read_features(before).normalisation == "pretrained"
    oldest = {"backbone": "resnet18", "weights": "none", "image_size_px": 128}
    assert read_features(oldest).normalisation == "pretrained"
    assert read_features({"backbone": "resnet18"}).normalisation == "auto"
    assert read_features(before | {"normalisation": "blend 0.5"}).normalisation == "blend 0.5"
