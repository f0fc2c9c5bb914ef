"""Photographs of any size, at the bundle's scale or the domain's own, inside a region of interest."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dgad.bundle import write_bundle
from dgad.domains.base import EncodedImage
from dgad.domains.geometry import Geometry
from dgad.domains.images import load_encoded
from dgad.domains.region import RegionOfInterest
from dgad.errors import ConflictError, DataError, UserError
from dgad.features.cache import FeatureCache
from dgad.features.settings import FeatureSettings
from dgad.methods import METHODS, parse_method
from dgad.methods.base import Context
from dgad.references.domain import DomainSettings, Upload
from serve.engine.backend import Outcome, Query, WrongScale
from serve.engine.scorer import SurfaceScorer
from serve.engine.store_writer import StoreWriter
from serve.settings import Limits

LEFT = {"polygons": [[[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]]}


def photograph(height: int, width: int, seed: int, *, spot: tuple[int, int] | None = None) -> bytes:
    pixels = np.random.default_rng(seed).normal(128, 8, (height, width)).clip(0, 255).astype(np.uint8)
    if spot is not None:
        pixels[spot[0] : spot[0] + 12, spot[1] : spot[1] + 12] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def query(data: bytes, scale: str = "native", region: RegionOfInterest | None = None) -> Query:
    loaded = load_encoded([EncodedImage(path="q.png", read=lambda: data)], Geometry(scale=scale))
    width, height = Image.open(io.BytesIO(data)).size
    return Query(
        domain="belt",
        sequence=0,
        image=loaded.images[0].numpy(),
        scale=scale,
        key=loaded.keys[0],
        width_px=width,
        height_px=height,
        wants_map=True,
        region=region,
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a nearest neighbour at native scale."""
    features = FeatureSettings(weights="none", scale="native", tile_px=64)
    context = Context(features=features, device=torch.device("cpu"), cache=FeatureCache())
    method = METHODS["patch_knn"](parse_method("patch_knn")[2], context)
    method.fit((), seed=0)
    folder = tmp_path_factory.mktemp("native") / "bundle"
    write_bundle(folder, method, metrics={}, card="# Test\n", provenance={"training_domains": []})
    return folder


@pytest.fixture
def writer(bundle: Path, tmp_path: Path) -> StoreWriter:
    """Of a store with a domain of photographs of two sizes."""
    writer = StoreWriter(bundle, str(tmp_path / "store"), device="cpu", limits=Limits())
    writer.create("belt", DomainSettings(), author="test")
    data = [photograph(72, 100, 0), photograph(72, 100, 1), photograph(64, 130, 2)]
    uploads = [Upload(name="n.png", data=d, width_px=100, height_px=72) for d in data]
    writer.enroll("belt", uploads, author="test", idempotency_key=None)
    return writer


def outcome(answer: Outcome | WrongScale | UserError) -> Outcome:
    assert isinstance(answer, Outcome), answer
    return answer


@pytest.mark.usefixtures("writer")
def test_photographs_of_different_sizes_are_scored_together_as_alone(bundle: Path, tmp_path: Path) -> None:
    scorer = SurfaceScorer(bundle, str(tmp_path / "store"), device="cpu")
    assert (scorer.description["scale"], scorer.description["image_size_px"]) == ("native", None)
    queries = [query(photograph(72, 100, 9, spot=(40, 70))), query(photograph(96, 80, 8))]
    together = [outcome(a) for a in scorer.score(queries)]
    for answer, asked in zip(together, queries, strict=True):
        alone = outcome(scorer.score([asked])[0])
        assert answer.score == pytest.approx(alone.score, rel=1e-4)
        assert answer.heat is not None
        assert answer.heat.shape == asked.image.shape[1:]
    assert together[0].score > together[1].score
    hottest = together[0].regions[0]
    assert hottest.x <= 76 <= hottest.x + hottest.width, "boxes are in the photograph's own pixels"


@pytest.mark.usefixtures("writer")
def test_what_was_scaled_for_another_bundle_is_sent_back(bundle: Path, tmp_path: Path) -> None:
    scorer = SurfaceScorer(bundle, str(tmp_path / "store"), device="cpu")
    data = photograph(72, 100, 9)
    other, good = scorer.score([query(data, "0.5"), query(data)])
    assert other == WrongScale(scale="native")
    assert isinstance(good, Outcome)
    (wrong,) = scorer.score([dataclasses.replace(query(data), image=np.zeros((3, 7, 7), np.uint8))])
    assert isinstance(wrong, DataError)


def test_a_domain_may_be_looked_at_another_scale(writer: StoreWriter, bundle: Path, tmp_path: Path) -> None:
    data = photograph(72, 100, 9, spot=(40, 70))
    scorer = SurfaceScorer(bundle, str(tmp_path / "store"), device="cpu")
    native = outcome(scorer.score([query(data)])[0])
    change = writer.create("belt", DomainSettings(scale="0.5"), author="test")
    half = outcome(scorer.score([dataclasses.replace(query(data, "0.5"), sequence=change.sequence)])[0])
    assert half.heat is not None
    assert half.heat.shape == (36, 50)
    assert half.score != native.score
    (stale,) = scorer.score([query(data)])
    assert isinstance(stale, ConflictError)


def test_outside_of_the_region_nothing_is_scored_or_enrolled(
    writer: StoreWriter, bundle: Path, tmp_path: Path
) -> None:
    scorer = SurfaceScorer(bundle, str(tmp_path / "store"), device="cpu")
    defect = photograph(72, 100, 9, spot=(40, 70))
    before = outcome(scorer.score([query(defect)])[0])
    change = writer.set_region("belt", LEFT, author="anna")
    assert (change.action, change.version, change.author) == ("region", 2, "anna")
    after = outcome(scorer.score([dataclasses.replace(query(defect), sequence=change.sequence)])[0])
    assert after.version == 2
    assert after.score < before.score
    assert after.heat is not None
    assert np.isnan(after.heat[:, 51:]).all()
    assert np.isfinite(after.heat[:, :49]).all()
    assert not any(region.x > 50 for region in after.regions)
    whole = RegionOfInterest.from_json({"polygons": [[[0, 0], [1, 0], [1, 1], [0, 1]]]})
    (asked,) = scorer.score([query(defect, region=whole)])
    assert outcome(asked).score > after.score, "a request's own region counts instead"
    back = writer.rollback("belt", 1, author="anna")
    assert back.settings.region is None
    assert outcome(scorer.score([query(defect)])[0]).score == pytest.approx(before.score, rel=1e-5)


def test_settings_that_are_given_anew_leave_the_region(writer: StoreWriter) -> None:
    writer.set_region("belt", LEFT, author="anna")
    kept = writer.create("belt", DomainSettings(note="line 3"), author="anna")
    assert (kept.settings.note, kept.settings.region) == ("line 3", LEFT)
    assert writer.set_region("belt", LEFT, author="anna") == kept, "unchanged, nothing is written"
