"""What only the methods have that train at enrolment: a network a domain, and every part of the training."""

import dataclasses
from typing import Any

import pytest
import torch
from sklearn.metrics import roc_auc_score

from dgad.domains.image_set import ImageSet
from dgad.errors import DataError, SettingsError, TrainingError
from dgad.features.settings import FeatureSettings
from dgad.methods.autoencoder import AutoencoderMethod
from dgad.methods.memae import MemAEMethod
from dgad.methods.reconstruction import ReconstructionMethod
from dgad.methods.trustmae import TrustMAEMethod
from dgad.reconstruction.settings import AutoencoderSettings, MemAESettings, TrustMAESettings
from tests.dgad.methods.surfaces import context, surface

QUICK: dict[str, Any] = {"num_steps": 3, "batch_size": 2, "crop_px": 32}
BY_NAME: dict[str, tuple[type[ReconstructionMethod], Any]] = {
    "autoencoder": (AutoencoderMethod, AutoencoderSettings(**QUICK)),
    "memae": (MemAEMethod, MemAESettings(**QUICK)),
    "trustmae": (TrustMAEMethod, TrustMAESettings(**QUICK)),
}


def made(name: str, **changes: Any) -> ReconstructionMethod:
    kind, settings = BY_NAME[name]
    return kind(dataclasses.replace(settings, **changes), context())


@pytest.fixture(scope="module")
def references() -> ImageSet:
    return surface(3, 12, defect=False, seed=1)


@pytest.mark.parametrize("name", BY_NAME)
def test_one_method_scores_each_domain_by_its_own_network(name: str, references: ImageSet) -> None:
    method, queries = made(name), surface(2, 12, defect=True, seed=2)
    first = method.enroll(references)
    before = method.score(queries, first)
    second = method.enroll(surface(3, 5, defect=False, seed=3))
    between, after = method.score(queries, second), method.score(queries, first)
    assert torch.equal(before.image, after.image)
    assert not torch.equal(before.image, between.image)


@pytest.mark.parametrize(
    ("name", "off"),
    [
        ("memae", {"entropy_weight": 0.0}),
        ("memae", {"shrinkage": 0.0}),
        ("trustmae", {"trust_weight": 0.0}),
        ("trustmae", {"margin_weight": 0.0}),
        ("trustmae", {"perceptual_weight": 0.0}),
    ],
    ids=lambda v: v if isinstance(v, str) else next(iter(v)),
)
def test_every_part_changes_what_is_learnt(name: str, off: dict[str, Any], references: ImageSet) -> None:
    # Radii and a margin that some of the untrained slots fall under, so that every loss has a gradient.
    sharp = {"trust_radius": 0.8, "trust_limit": 3.0, "margin": 0.5} if name == "trustmae" else {}
    with_it = made(name, **sharp).enroll(references).tensors
    without = made(name, **{**sharp, **off}).enroll(references).tensors
    slots = "bottleneck.slot_NC"
    assert not torch.equal(with_it[slots], without[slots])
    assert not torch.equal(with_it["latent.0.weight"], without["latent.0.weight"])


def test_centring_changes_the_scores_alone(references: ImageSet) -> None:
    queries = surface(2, 12, defect=True, seed=2)
    centred, plain = made("trustmae"), made("trustmae", centred=False)
    one, other = centred.enroll(references), plain.enroll(references)
    differ = {name for name in one.tensors if not torch.equal(one.tensors[name], other.tensors[name])}
    assert differ == {"distance.usual0", "distance.usual1"}
    assert not torch.equal(centred.score(queries, one).image, plain.score(queries, other).image)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_encoder_of_its_own_sees_an_obvious_defect_too(name: str, references: ImageSet) -> None:
    method = made(name, encoder="conv", num_steps=30, learning_rate=3e-3, batch_size=4)
    good, bad = surface(4, 12, defect=False, seed=4), surface(4, 12, defect=True, seed=5)
    queries = ImageSet(images=[*good.images, *bad.images])
    scores = method.score(queries, method.enroll(references))
    assert roc_auc_score([0] * 4 + [1] * 4, scores.image.numpy()) > 0.7
    assert (scores.image >= 0).all()
    assert scores.pixels is not None
    assert (torch.stack(scores.pixels) >= 0).all()


@pytest.mark.parametrize("name", BY_NAME)
def test_a_loss_that_is_not_finite_is_told_with_step_and_settings(name: str, references: ImageSet) -> None:
    method = made(name, learning_rate=1e30)
    with pytest.raises(
        TrainingError, match=rf"{name}: the loss became (nan|inf) at step 2 of 3.*num_steps=3"
    ):
        method.enroll(references)


@pytest.mark.parametrize("name", BY_NAME)
def test_nothing_is_drawn_from_the_global_generator(name: str, references: ImageSet) -> None:
    before = torch.random.get_rng_state()
    method = made(name)
    method.fit([], seed=3)
    method.score(references, method.enroll(references))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_backbone_stays_as_it_was(name: str, references: ImageSet) -> None:
    method = made(name)
    before = method.state()
    method.enroll(references)
    after = method.state()
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_progress_is_told_step_by_step(references: ImageSet) -> None:
    told: list[tuple[str, int, int]] = []
    watched = dataclasses.replace(
        context(), progress=lambda what, step, total, _: told.append((what, step, total))
    )
    AutoencoderMethod(AutoencoderSettings(**QUICK), watched).enroll(references)
    assert told == [("autoencoder", 1, 3), ("autoencoder", 2, 3), ("autoencoder", 3, 3)]


def test_with_an_encoder_of_its_own_an_autoencoder_keeps_the_seed_alone() -> None:
    method = made("autoencoder", encoder="conv")
    method.fit([], seed=2**62)
    assert method.state() == {"seed": torch.tensor(2**62)}
    other = made("autoencoder", encoder="conv")
    other.load_state(method.state())
    assert other.seed == 2**62


def test_weights_of_another_shape_are_refused_by_name() -> None:
    method = made("autoencoder")
    state = method.state()
    state["backbone.body.conv1.weight"] = state["backbone.body.conv1.weight"][:, :1]
    with pytest.raises(DataError, match=r"do not fit the settings of `autoencoder`.*body\.conv1\.weight"):
        method.load_state(state)


def test_a_vision_transformer_can_neither_encode_nor_judge() -> None:
    tokens = FeatureSettings(backbone="test_vit", weights="none")
    conv = AutoencoderSettings(encoder="conv")
    AutoencoderMethod.check_features(conv, tokens)
    with pytest.raises(SettingsError, match="feature maps of one stride only"):
        AutoencoderMethod.check_features(AutoencoderSettings(), tokens)
    with pytest.raises(SettingsError, match="feature maps of one stride only"):
        TrustMAEMethod.check_features(TrustMAESettings(encoder="conv"), tokens)


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (AutoencoderSettings, {"num_steps": 0}, "`num_steps` must be at least 1, but got 0"),
        (AutoencoderSettings, {"crop_px": 40}, "`crop_px` must be a multiple of 16"),
        (AutoencoderSettings, {"top_fraction": 0.0}, "`top_fraction` must be above 0"),
        (MemAESettings, {"shrinkage": 4.0}, "`shrinkage` must be 0 to 3"),
        (MemAESettings, {"width": 0}, "`width` must be at least 1"),
        (TrustMAESettings, {"num_nearest": 9, "num_slots": 8}, "`num_nearest` must be 1 to `num_slots`"),
        (TrustMAESettings, {"trust_radius": 2.0, "trust_limit": 1.0}, "`trust_limit` must be at least"),
    ],
)
def test_settings_out_of_range_are_refused(kind: type[Any], wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        kind(**wrong)
