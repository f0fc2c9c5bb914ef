"""The weights that ship: whole, small, described, and better than none where they were not trained."""

import importlib.resources

import pytest
import torch

from dgad.comparer.model import Comparer
from dgad.comparer.settings import BUILTIN
from dgad.comparer.start import shipped_settings
from dgad.domains.procedural import HELD_OUT_FAMILIES
from dgad.features.backbone import Backbone
from dgad.features.builtin import read_builtin
from dgad.features.settings import FeatureSettings
from dgad.pretraining.evaluation import draw_held_out_targets, feature_quality

MAX_BYTES = 25_000_000


def test_they_are_what_the_presets_say_and_small() -> None:
    builtin = read_builtin()
    info = builtin.info
    Comparer([64, 128], shipped_settings(info)).load_state_dict(dict(builtin.comparer))
    assert shipped_settings(info) == BUILTIN
    assert info.backbone == FeatureSettings().backbone
    assert info.strides == (4, 8, 16)
    folder = importlib.resources.files("dgad") / "weights"
    assert sum(len(file.read_bytes()) for file in folder.iterdir()) < MAX_BYTES


def test_they_say_how_they_were_made() -> None:
    origin = read_builtin().info.origin
    assert origin["held_out_families"] == list(HELD_OUT_FAMILIES)
    assert not set(origin["held_out_families"]) & set(origin["training_families"])
    assert origin["steps"] > 1000
    card = (importlib.resources.files("dgad") / "weights" / "MODEL_CARD.md").read_text()
    for words in ("Procedural images alone", "Apache-2.0", str(origin["steps"])):
        assert words in card


@pytest.mark.slow
def test_they_compare_better_than_random_features_on_families_never_trained_on() -> None:
    targets = draw_held_out_targets(domains_each=1, image_size_px=96, seed=77)
    image, pixel = [], []
    for weights in ("builtin", "none"):
        features = FeatureSettings(weights=weights)
        backbone = Backbone(features, (4, 8), seed=0)
        found = feature_quality(backbone, "resnet18", targets, torch.device("cpu"), num_levels=2)
        image.append(found.image_auroc)
        pixel.append(found.pixel_auroc)
    assert image[0] > image[1] + 0.03
    assert pixel[0] > pixel[1] + 0.03
