"""Bundles: what is loaded scores like what was written, and nothing that was touched is loaded."""

import dataclasses
import json
import os
import random
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from click.testing import CliRunner

from dgad import bundle as bundles
from dgad.bundle import CONTENT_FILES, MANIFEST_FILE, load_method, read_bundle, write_bundle
from dgad.cli import cli
from dgad.domains.image_set import ImageSet
from dgad.errors import BundleError
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS
from dgad.methods.base import Context, Enrolled, Method, Scores, Traits
from dgad.model_card import model_card
from dgad.sealed_folder import json_bytes

CPU = torch.device("cpu")
TRAITS = Traits(
    learns=True,
    needs_defects=False,
    min_sources=1,
    trains_at_enrolment=False,
    gives_pixels=False,
    servable=True,
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ScaledSettings:
    scale: float = 1.0


class ScaledMean(Method):
    """Distance of mean grey values times a learnt factor: enough of a method to be bundled."""

    name: ClassVar[str] = "scaled_mean"
    title: ClassVar[str] = "Scaled mean"
    traits: ClassVar[Traits] = TRAITS
    settings_type: ClassVar[type[Any]] = ScaledSettings
    presets: ClassVar[Mapping[str, Any]] = {"default": ScaledSettings()}
    factor = torch.zeros(1)

    def fit(self, sources, *, seed):
        self.factor = torch.tensor([float(seed) + 0.1])

    def enroll(self, references):
        mean = references.stack().float().mean().view(1)
        return Enrolled(method=self.name, num_references=len(references), tensors={"mean": mean})

    def score(self, queries, enrolled):
        distance = (queries.stack().float().mean((1, 2, 3)) - enrolled.tensors["mean"]).abs()
        return Scores(image=distance * self.factor * self.settings.scale, pixels=None)

    def state(self):
        return {"factor": self.factor, "deep.transposed": torch.arange(6.0).view(2, 3).T}

    def load_state(self, state):
        assert torch.equal(state["deep.transposed"], torch.arange(6.0).view(2, 3).T)
        self.factor = state["factor"]


@pytest.fixture
def method(monkeypatch):
    monkeypatch.setitem(METHODS, "scaled_mean", ScaledMean)
    features = FeatureSettings(weights="/no/longer/there.safetensors", scale="squash 32")
    made = ScaledMean(ScaledSettings(scale=2.0), Context(features=features, device=CPU, cache=FeatureCache()))
    made.fit([], seed=3)
    return made


def write(path, method, **changes):
    values = {
        "metrics": {"targets": {"grid": {"image_auroc": 0.9}}},
        "card": "# Card\n\nüber all\n",
        "provenance": {"training_domains": ["grid", "tile"], "study": "demo"},
    }
    write_bundle(path, method, **(values | changes))


def images(seed, count=3):
    generator = torch.Generator().manual_seed(seed)
    return ImageSet(images=torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator))


def test_a_loaded_method_scores_like_the_written_one(tmp_path, method):
    write(tmp_path / "bundle", method)
    loaded = load_method(tmp_path / "bundle", CPU)
    assert loaded.settings == method.settings
    expected = method.score(images(1), method.enroll(images(0))).image
    assert torch.equal(loaded.score(images(1), loaded.enroll(images(0))).image, expected)
    assert expected.max() > 0


def test_a_loaded_method_keeps_features_in_the_cache_that_it_is_given(tmp_path, method):
    write(tmp_path / "bundle", method)
    empty = FeatureCache(2**20)
    assert load_method(tmp_path / "bundle", CPU, empty).context.cache is empty


@pytest.mark.parametrize("name", ["trivial", "patch_knn", "comparer", "contextual"])
def test_every_servable_method_survives_a_bundle(tmp_path, name):
    features = FeatureSettings(scale="squash 64")
    preset = next(iter(METHODS[name].presets.values()))
    if name in ("comparer", "contextual"):
        preset = dataclasses.replace(preset, num_steps=0)
    method = METHODS[name](preset, Context(features=features, device=CPU, cache=FeatureCache()))
    method.fit([], seed=5)
    write(tmp_path / "bundle", method)
    loaded = load_method(tmp_path / "bundle", CPU)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8, generator=generator)
    references, queries = ImageSet(images=pixels[:2]), ImageSet(images=pixels[2:])
    expected = method.score(queries, method.enroll(references))
    got = loaded.score(queries, loaded.enroll(references))
    assert torch.equal(got.image, expected.image)
    assert got.pixels is not None
    assert expected.pixels is not None
    assert torch.equal(torch.stack(got.pixels), torch.stack(expected.pixels))


def test_a_bundle_says_what_it_is(tmp_path, method):
    write(tmp_path / "bundle", method)
    info = read_bundle(tmp_path / "bundle")
    assert info.method == "scaled_mean"
    assert info.settings == {"scale": 2.0}
    assert info.features == method.context.features
    assert info.training_domains == ("grid", "tile")
    assert info.provenance == {"study": "demo"}
    assert info.metrics["targets"]["grid"]["image_auroc"] == 0.9
    assert info.card == "# Card\n\nüber all\n"
    assert info.num_bytes > 0
    assert sorted(os.listdir(tmp_path / "bundle")) == sorted([*CONTENT_FILES, MANIFEST_FILE])


def test_the_id_follows_the_weights_and_not_the_clock(tmp_path, method, monkeypatch):
    write(tmp_path / "first", method)
    monkeypatch.setattr(bundles, "utc_now", lambda: "2001-01-01T00:00:00+00:00")
    write(tmp_path / "again", method, card="another")
    method.fit([], seed=4)
    write(tmp_path / "other", method)
    first, again, other = (read_bundle(tmp_path / n).bundle_id for n in ("first", "again", "other"))
    assert first == again != other


@pytest.mark.parametrize("name", [*CONTENT_FILES, MANIFEST_FILE])
def test_any_flipped_bit_is_found_and_its_file_named(tmp_path, method, name):
    folder = tmp_path / "bundle"
    write(folder, method)
    whole = (folder / name).read_bytes()
    generator = random.Random(0)
    for position in {0, len(whole) - 1, *(generator.randrange(len(whole)) for _ in range(60))}:
        data = bytearray(whole)
        data[position] ^= 1 << generator.randrange(8)
        (folder / name).write_bytes(bytes(data))
        with pytest.raises(BundleError) as error:
            load_method(folder, CPU)
        # A sum that was changed in the manifest shows as a difference of the file it belongs to.
        assert name in str(error.value) or name == MANIFEST_FILE
    (folder / name).write_bytes(whole)
    load_method(folder, CPU)


@pytest.mark.parametrize("name", [*CONTENT_FILES, MANIFEST_FILE])
def test_a_missing_file_is_named(tmp_path, method, name):
    write(tmp_path / "bundle", method)
    (tmp_path / "bundle" / name).unlink()
    with pytest.raises(BundleError, match=name):
        read_bundle(tmp_path / "bundle")


def test_what_is_no_bundle_is_said_so(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(BundleError, match=r"is no bundle.*Name the folder of one"):
            read_bundle(path)


def test_a_newer_format_is_refused(tmp_path, method, monkeypatch):
    monkeypatch.setattr(bundles, "FORMAT_VERSION", 2)
    write(tmp_path / "bundle", method)
    monkeypatch.undo()
    with pytest.raises(BundleError, match="format version 2, but this dgad reads up to 1"):
        read_bundle(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"method": None}, r"bundle\.json lacks 'method': write the bundle again\.$"),
        ({"settings": 5}, r"bundle\.json\.settings` must be a mapping, but got 5\.$"),
        ({"training_domains": "oak"}, r"bundle\.json\.training_domains` must be a list, but got 'oak'\.$"),
        (
            {"features": {"image_size_px": 33}},
            r": bundle\.json: `scale` must be `squash N`",
        ),
        ({"added_later": 1}, None),
    ],
)
def test_a_description_that_was_mended_by_hand_is_told(tmp_path, method, changes, told):
    folder = tmp_path / "bundle"
    write(folder, method)
    values = json.loads((folder / "bundle.json").read_bytes()) | changes
    contents = {name: (folder / name).read_bytes() for name in CONTENT_FILES}
    contents["bundle.json"] = json_bytes({k: v for k, v in values.items() if v is not None})
    for name, data in bundles._FOLDER.add_manifest(contents).items():
        (folder / name).write_bytes(data)
    if told is None:
        read_bundle(folder)
        return
    with pytest.raises(BundleError, match=told):
        read_bundle(folder)


def test_a_method_this_dgad_has_not_is_named(tmp_path, method, monkeypatch):
    write(tmp_path / "bundle", method)
    monkeypatch.delitem(METHODS, "scaled_mean")
    with pytest.raises(BundleError, match="`scaled_mean`, which this dgad has not"):
        load_method(tmp_path / "bundle", CPU)


def test_a_bundle_is_replaced_whole_and_other_folders_are_not(tmp_path, method):
    folder = tmp_path / "bundle"
    write(folder, method)
    write(folder, method, card="second")
    assert read_bundle(folder).card == "second"
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(b"x")
    with pytest.raises(BundleError, match="is no bundle, so it is not replaced"):
        write(photos, method)
    assert os.listdir(photos) == ["a.png"]
    assert sorted(os.listdir(tmp_path)) == ["bundle", "photos"]


def test_what_cannot_be_bundled_leaves_nothing_behind(tmp_path, method, monkeypatch):
    with pytest.raises(BundleError, match="training_domains"):
        write(tmp_path / "bundle", method, provenance={})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path / "bundle", method, metrics={"image_auroc": float("nan")})
    monkeypatch.setattr(ScaledMean, "traits", dataclasses.replace(TRAITS, servable=False))
    with pytest.raises(BundleError, match="cannot be bundled"):
        write(tmp_path / "bundle", method)
    assert os.listdir(tmp_path) == []


def test_show_prints_and_refuses(tmp_path, method):
    folder = tmp_path / "bundle"
    write(folder, method)
    shown = CliRunner().invoke(cli, ["bundle", "show", str(folder)])
    assert shown.exit_code == 0
    for text in ("scaled_mean", "grid, tile", "all sums match", "über all", read_bundle(folder).bundle_id):
        assert text in shown.output
    as_json = json.loads(CliRunner().invoke(cli, ["bundle", "show", str(folder), "--json"]).output)
    assert as_json["bundle_id"] == read_bundle(folder).bundle_id
    assert as_json["features"]["scale"] == "squash 32"
    (folder / "metrics.json").write_text("{}")
    refused = CliRunner().invoke(cli, ["bundle", "show", str(folder)])
    assert isinstance(refused.exception, BundleError)


def test_the_card_has_what_a_reader_must_know(method):
    targets = {
        "grid": {"image_auroc": 0.9, "pixel_auroc": None},
        "tile": {"image_auroc": 0.7, "pixel_auroc": 0.8},
    }
    card = model_card(
        method,
        label="comparer",
        training_domains=("grid", "tile"),
        num_references=5,
        protocol="nested",
        targets=targets,
        comparison={"comparer": 0.8, "patch_knn": 0.85, "trivial": 0.6, "agg": None},
    )
    for heading in (
        "Intended use",
        "Training domains",
        "Expected performance",
        "Calibration",
        "Limits",
        "Origin",
    ):
        assert f"## {heading}" in card
    assert "| mean | 0.800 | not applicable | 0.800 | not applicable |" in card
    assert "`patch_knn` did better than `comparer`" in card
    assert "/no/longer/there.safetensors" in card
    assert "ten photographs support 9.1%" in card
