"""The scorer: what it answers is what the method answers, whatever shares its batch."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from dgad.bundle import load_method, read_bundle
from dgad.calibration.calibrate import calibrate
from dgad.domains.images import load_image_files
from dgad.errors import ConflictError, DataError, MissingError, StoreError
from dgad.references.domain import DomainSettings
from dgad.references.store import ReferenceStore
from serve.engine import states as enrolled_states
from serve.engine.backend import Outcome
from serve.engine.scorer import SurfaceScorer
from serve.engine.store_writer import StoreWriter
from serve.http.views import render_result, render_threshold
from serve.settings import Limits
from tests.dgad.methods.surfaces import SIZE
from tests.geometries import squash
from tests.serve.support.surfaces import HEIGHT_PX, SERVABLE, WIDTH_PX, bundled, photographs, query, uploads

NUM_REFERENCES = 8
PERIODS = {"carpet": 12, "grid": 7, "tile": 5}


@pytest.fixture(scope="module")
def bundle(patch_knn_bundle: Path) -> Path:
    return patch_knn_bundle


@pytest.fixture(scope="module")
def store(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three domains with references and one without; tests do not change it."""
    location = str(tmp_path_factory.mktemp("store"))
    writer = StoreWriter(bundle, location, device="cpu", limits=Limits())
    for name, period in PERIODS.items():
        writer.create(name, DomainSettings(), author="test")
        files = photographs(NUM_REFERENCES, period)
        writer.enroll(name, uploads(files), author="test", idempotency_key=None)
    writer.create("bare", DomainSettings(), author="test")
    return location


@pytest.fixture
def scorer(bundle: Path, store: str) -> SurfaceScorer:
    return SurfaceScorer(bundle, store, device="cpu")


def outcome(answer: object) -> Outcome:
    assert isinstance(answer, Outcome), answer
    return answer


@pytest.mark.parametrize("name", SERVABLE)
def test_a_score_is_that_of_dgad_score_with_the_same_files(name: str, tmp_path: Path) -> None:
    folder = bundled(tmp_path / "bundle", name)
    references, queries = photographs(4), photographs(2, defect=True, seed=9)
    for i, data in enumerate((*references, *queries)):
        (tmp_path / f"{i}.png").write_bytes(data)
    paths = [str(tmp_path / f"{i}.png") for i in range(6)]
    method = load_method(folder, torch.device("cpu"))
    loaded = load_image_files(paths[:4], squash(SIZE))
    expected = method.score(load_image_files(paths[4:], squash(SIZE)), method.enroll(loaded))
    _, calibration = calibrate(method, loaded, scheme="leave_one_out", coreset=None)

    writer = StoreWriter(folder, str(tmp_path / "store"), device="cpu", limits=Limits())
    writer.create("carpet", DomainSettings(false_alarm_rate=0.3), author="test")
    writer.enroll("carpet", uploads(references), author="test", idempotency_key=None)
    scorer = SurfaceScorer(folder, str(tmp_path / "store"), device="cpu")
    scorer.warm()
    assert scorer.description["method"] == name
    answers = scorer.score([query("carpet", data, wants_map=True) for data in queries])
    for i, answer in enumerate(map(outcome, answers)):
        assert answer.score == pytest.approx(float(expected.image[i]), rel=1e-4, abs=1e-4)
        assert answer.threshold.value is not None
        assert calibration.threshold(0.3)[0] == pytest.approx(answer.threshold.value, rel=1e-4, abs=1e-4)
        assert answer.heat is not None
        assert expected.pixels is not None
        np.testing.assert_allclose(answer.heat, expected.pixels[i].numpy(), rtol=1e-3, atol=1e-3)
        assert answer.num_enrolled == answer.threshold.num_compared == answer.threshold.num_calibration == 4
        assert answer.bundle_id == read_bundle(folder).bundle_id
        assert (len(answer.levels) > 0) == (name == "comparer")
        if answer.levels:
            assert max(answer.levels) == answer.score


def test_a_batch_across_domains_is_computed_domain_by_domain_and_changes_no_answer(
    scorer: SurfaceScorer,
) -> None:
    files = {name: photographs(2, period, defect=True, seed=5) for name, period in PERIODS.items()}
    mixed = [
        query(name, data)
        for data_of in zip(*files.values(), strict=True)
        for name, data in zip(files, data_of, strict=True)
    ]
    alone = [outcome(scorer.score([q])[0]) for q in mixed]
    sizes: list[int] = []
    scorer._method.context.cache._maps.clear()  # type: ignore[attr-defined]
    backbone = scorer._method.backbone  # type: ignore[attr-defined]
    watch = backbone.register_forward_hook(lambda module, inputs, maps: sizes.append(len(inputs[0])))
    together = scorer.score(mixed)
    watch.remove()
    assert sizes == [2, 2, 2]  # each domain's statistics are in the weights of a network of its own
    for one, answer in zip(alone, map(outcome, together), strict=True):
        assert answer.score == pytest.approx(one.score, rel=1e-4)
        assert answer.verdict == one.verdict


def test_a_photograph_that_is_a_reference_is_told(scorer: SurfaceScorer) -> None:
    own, other = photographs(NUM_REFERENCES)[2], photographs(1, seed=5)[0]
    answers = [outcome(a) for a in scorer.score([query("carpet", own), query("carpet", other)])]
    told = [
        render_result("part.png", a, render_threshold(a.threshold), heatmap=None, milliseconds=1.0)
        for a in answers
    ]
    assert [t.same_as_reference for t in told] == ["part 2.png", None]


def test_what_cannot_be_answered_spoils_no_other_answer(scorer: SurfaceScorer) -> None:
    data = photographs(1)[0]
    good = query("carpet", data)
    answers = scorer.score(
        [
            query("nowhere", data),
            good,
            query("bare", data),
            dataclasses.replace(good, image=np.zeros((3, SIZE, SIZE + 1), np.uint8)),
            query("grid", data),
            dataclasses.replace(good, domain="tile", sequence=99),
        ]
    )
    assert [type(a) for a in answers] == [
        MissingError,
        Outcome,
        ConflictError,
        DataError,
        Outcome,
        StoreError,
    ]
    assert "no references yet" in str(answers[2])
    assert "same store" in str(answers[5])
    assert scorer.score([]) == []


def test_defects_are_abnormal_where_the_photographs_support_a_threshold(scorer: SurfaceScorer) -> None:
    bad = [
        outcome(a)
        for a in scorer.score(
            [query("carpet", d, wants_map=i > 0) for i, d in enumerate(photographs(3, defect=True, seed=7))]
        )
    ]
    good = [outcome(a) for a in scorer.score([query("carpet", d) for d in photographs(6, seed=8)])]
    assert all(a.verdict == "abnormal" and a.p_value == pytest.approx(1 / 9) for a in bad)
    assert sum(a.verdict == "abnormal" for a in good) <= 2
    for answer in (*bad, *good):
        threshold = answer.threshold
        assert (threshold.guarantee, threshold.scheme) == ("approximate", "leave_one_out")
        assert threshold.lowest_rate == threshold.false_alarm_rate == pytest.approx(1 / 9)
        assert threshold.value is not None
        assert answer.p_value is not None
        assert (
            (answer.verdict == "abnormal")
            == (answer.score > threshold.value)
            == (answer.p_value <= 1 / 9 + 1e-9)
        )
    assert [a.heat is None for a in bad] == [True, False, False]
    for answer in bad:
        assert 1 <= len(answer.regions) <= 20
        box = answer.regions[0]
        assert box.score == max(r.score for r in answer.regions) > answer.heat_low
        assert box.x + box.width <= WIDTH_PX
        assert box.y + box.height <= HEIGHT_PX
    heat = bad[1].heat
    assert heat is not None
    assert heat.shape == (SIZE, SIZE)
    y, x = np.unravel_index(int(heat.argmax()), heat.shape)
    box = bad[1].regions[0]  # its place in the photograph, which is twice as wide
    assert box.x <= 2 * x < box.x + box.width
    assert box.y <= y < box.y + box.height
    assert bad[1].heat_high > bad[1].heat_low


def test_few_domains_are_kept_and_all_are_answered(
    bundle: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    load = enrolled_states.EnrolledStore.load
    monkeypatch.setattr(
        enrolled_states.EnrolledStore,
        "load",
        lambda self, domain, key: (loads.append(domain), load(self, domain, key))[1],
    )
    scorer = SurfaceScorer(bundle, store, device="cpu", max_resident_domains=2)
    data = photographs(1)[0]
    for name in ("carpet", "carpet", "grid", "carpet", "tile", "carpet", "grid"):
        outcome(scorer.score([query(name, data)])[0])
    assert loads == ["carpet", "grid", "tile", "grid"]  # grid had gone for tile


def test_thresholds(scorer: SurfaceScorer) -> None:
    found = scorer.threshold("carpet", 0)
    assert found == outcome(scorer.score([query("carpet", photographs(1)[0])])[0]).threshold
    assert scorer.threshold("bare", 0) is None
    with pytest.raises(MissingError):
        scorer.threshold("nowhere", 0)


@pytest.mark.parametrize("damage", ["missing", "torn"])
def test_a_state_that_is_missing_or_damaged_is_made_again_from_the_photographs(
    bundle: Path, tmp_path: Path, damage: str
) -> None:
    location = tmp_path / "store"
    writer = StoreWriter(bundle, str(location), device="cpu", limits=Limits())
    writer.create("carpet", DomainSettings(), author="test")
    writer.enroll("carpet", uploads(photographs(3)), author="test", idempotency_key=None)
    asked = query("carpet", photographs(1, seed=3)[0])
    before = outcome(SurfaceScorer(bundle, str(location), device="cpu").score([asked])[0])
    (file,) = (location / "domains" / "carpet" / "enrolled").iterdir()
    if damage == "missing":
        file.unlink()
    else:
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    after = outcome(SurfaceScorer(bundle, str(location), device="cpu").score([asked])[0])
    assert after.score == pytest.approx(before.score, rel=1e-5)
    assert after.threshold == before.threshold
    assert file.is_file()
    again = outcome(SurfaceScorer(bundle, str(location), device="cpu").score([asked])[0])
    assert again.score == after.score


def test_one_reference_scores_without_a_verdict(bundle: Path, tmp_path: Path) -> None:
    writer = StoreWriter(bundle, str(tmp_path), device="cpu", limits=Limits())
    writer.create("carpet", DomainSettings(), author="test")
    writer.enroll("carpet", uploads(photographs(1)), author="test", idempotency_key=None)
    scorer = SurfaceScorer(bundle, str(tmp_path), device="cpu")
    answer = outcome(scorer.score([query("carpet", photographs(1, defect=True)[0], wants_map=True)])[0])
    assert (answer.verdict, answer.p_value, answer.regions) == ("uncalibrated", None, ())
    assert answer.threshold.value is None
    assert answer.threshold.guarantee == "none"
    assert answer.threshold.lowest_rate is None
    assert answer.heat is not None
    assert np.isfinite([answer.heat_low, answer.heat_high]).all()


def test_what_was_purged_goes_from_memory_where_nobody_asks_again(bundle: Path, tmp_path: Path) -> None:
    location = str(tmp_path / "store")
    writer = StoreWriter(bundle, location, device="cpu", limits=Limits())
    for name in ("oak", "elm"):
        writer.create(name, DomainSettings(), author="test")
        writer.enroll(name, uploads(photographs(3)), author="test", idempotency_key=None)
    scorer = SurfaceScorer(bundle, location, device="cpu")
    scorer._states._enrolled.load = lambda domain, key: None  # type: ignore[method-assign]  # it makes its own
    for name in ("oak", "elm"):
        outcome(scorer.score([query(name, photographs(1)[0])])[0])
    first = ReferenceStore(location).head("oak").references[0].id
    assert first in str(scorer._states._images.keys())
    assert first in str(scorer._residents["oak"].change)
    writer.remove("oak", first, purge=True, author="test")
    assert (len(writer._states._images), writer._states._method.context.cache.used_bytes) == (0, 0)
    scorer.forget_purged()
    assert "oak" not in scorer._residents
    assert "elm" in scorer._residents
    assert (len(scorer._states._images), scorer._states._method.context.cache.used_bytes) == (0, 0)
    writer.delete("elm", author="test")
    scorer.forget_purged()
    assert not scorer._residents
    assert outcome(scorer.score([query("oak", photographs(1)[0])])[0]).num_enrolled == 2
