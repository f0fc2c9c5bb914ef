"""A domain's bit depth decides how its references are read again, and what was made of them before."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dgad
from dgad.domains.base import EncodedImage
from dgad.domains.images import load_encoded
from dgad.errors import ConflictError, ImageError
from dgad.references.domain import DomainSettings, Upload
from dgad.references.store import ReferenceStore
from serve.engine.backend import Outcome, Query
from serve.engine.scorer import SurfaceScorer
from serve.engine.store_writer import StoreWriter
from serve.settings import Limits
from tests.dgad.methods.surfaces import SIZE
from tests.geometries import squash


def photograph(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).normal(2000, 500, (48, 64))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 4095).astype(np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


def upload(data: bytes) -> Upload:
    return Upload(name="part.png", data=data, width_px=64, height_px=48)


def query(data: bytes, bit_depth: int | None) -> Query:
    loaded = load_encoded([EncodedImage(path="q.png", read=lambda: data, bit_depth=bit_depth)], squash(SIZE))
    return Query(
        domain="belt",
        sequence=0,
        image=loaded.images[0].numpy(),
        scale=f"squash {SIZE}",
        key=loaded.keys[0],
        width_px=64,
        height_px=48,
        wants_map=False,
        bit_depth=bit_depth,
    )


def test_scores_follow_the_domains_bit_depth(patch_knn_bundle: Path, tmp_path: Path) -> None:
    store, part = str(tmp_path / "store"), photograph(9)
    references = [photograph(i) for i in range(3)]
    writer = StoreWriter(patch_knn_bundle, store, device="cpu", limits=Limits())
    writer.create("belt", DomainSettings(), author="test")
    writer.enroll("belt", [upload(r) for r in references], author="test", idempotency_key=None)
    scorer = SurfaceScorer(patch_knn_bundle, store, device="cpu")
    (dark,) = scorer.score([query(part, None)])
    with pytest.raises(ImageError, match=r"part\.png holds the value .* `bit_depth` 10"):
        writer.create("belt", DomainSettings(bit_depth=10), author="test")
    assert ReferenceStore(store).head("belt").settings.bit_depth is None

    change = writer.create("belt", DomainSettings(bit_depth=12), author="test")
    assert ReferenceStore(store).head("belt") == change
    scorer = SurfaceScorer(patch_knn_bundle, store, device="cpu")
    (read_before, found) = scorer.score([query(part, None), query(part, 12)])
    assert isinstance(read_before, ConflictError)  # as are those that were on their way
    assert isinstance(dark, Outcome)
    assert isinstance(found, Outcome)
    assert found.score != dark.score
    for i, data in enumerate((*references, part)):
        (tmp_path / f"{i}.png").write_bytes(data)
    surface = dgad.load_comparer(patch_knn_bundle, device="cpu").enroll(
        [tmp_path / f"{i}.png" for i in range(3)], bit_depth=12
    )
    assert surface.score(tmp_path / "3.png")[0].score == found.score


def test_a_tiff_of_pages_that_was_enrolled_before_still_scores(
    patch_knn_bundle: Path, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    page = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64), dtype=np.uint8))
    page.save(buffer, "TIFF", save_all=True, append_images=[page])
    store = str(tmp_path / "store")
    writer = StoreWriter(patch_knn_bundle, store, device="cpu", limits=Limits())
    writer.create("belt", DomainSettings(), author="test")
    writer.enroll("belt", [upload(buffer.getvalue())], author="test", idempotency_key=None)
    scorer = SurfaceScorer(patch_knn_bundle, store, device="cpu")
    assert isinstance(scorer.score([query(photograph(1), None)])[0], Outcome)
