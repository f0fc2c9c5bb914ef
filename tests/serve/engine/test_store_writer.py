"""The writer: a change counts only when what it makes of the references is stored."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dgad.errors import ConflictError, ImageError, MissingError, StoreError
from dgad.references.domain import DomainSettings, Upload
from dgad.references.store import ReferenceStore
from serve.engine import states as enrolled_states
from serve.engine.backend import Outcome
from serve.engine.scorer import SurfaceScorer
from serve.engine.store_writer import StoreWriter
from serve.settings import Limits
from tests.serve.support.surfaces import bundled, photographs, query, uploads

AUTHOR = "test"


@pytest.fixture(scope="module")
def bundle(trivial_bundle: Path) -> Path:
    return trivial_bundle


@pytest.fixture
def location(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
def writer(bundle: Path, location: str) -> StoreWriter:
    writer = StoreWriter(bundle, location, device="cpu", limits=Limits(max_references=12, max_domains=2))
    writer.create("carpet", DomainSettings(), author=AUTHOR)
    return writer


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens, in order: states made, states stored, changes committed."""
    seen: list[str] = []

    def watch(owner: Any, name: str, event: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            answer = original(*arguments, **options)
            seen.append(event)
            return answer

        monkeypatch.setattr(owner, name, watched)

    watch(enrolled_states, "calibrate", "made")
    watch(enrolled_states.EnrolledStore, "save", "stored")
    for name in ("commit", "create", "remove", "purge", "rollback"):
        watch(ReferenceStore, name, name)
    return seen


def score(bundle: Path, location: str, *, sequence: int = 0) -> Outcome:
    scorer = SurfaceScorer(bundle, location, device="cpu")
    (answer,) = scorer.score([query("carpet", photographs(1, seed=99)[0], sequence=sequence)])
    assert isinstance(answer, Outcome), answer
    return answer


def enroll(writer: StoreWriter, files: list[bytes], key: str | None = None) -> Any:
    return writer.enroll("carpet", uploads(files), author=AUTHOR, idempotency_key=key)


def test_every_change_is_stored_before_it_counts_and_made_once(
    writer: StoreWriter, bundle: Path, location: str, events: list[str]
) -> None:
    files = photographs(6)
    store = ReferenceStore(location)

    def done(*expected: str) -> None:
        assert events == list(expected)
        events.clear()
        assert score(bundle, location).version == store.head("carpet").version
        assert events == []  # the scorer found what it needed

    first = enroll(writer, files[:4])
    done("made", "stored", "commit")
    enroll(writer, files[4:])
    done("made", "stored", "commit")
    writer.remove("carpet", first.added[0].id, purge=False, author=AUTHOR)
    done("made", "stored", "remove")
    writer.rollback("carpet", first.version, author=AUTHOR)
    done("rollback")  # what was current once is still there
    writer.create("carpet", DomainSettings(calibration="split"), author=AUTHOR)
    done("made", "stored", "create")
    writer.create("carpet", DomainSettings(calibration="split", coreset=2), author=AUTHOR)
    done("made", "stored", "create")
    writer.create(
        "carpet",
        DomainSettings(calibration="split", coreset=2, note="x", false_alarm_rate=0.4),
        author=AUTHOR,
    )
    done("create")
    writer.remove("carpet", first.added[1].id, purge=True, author=AUTHOR)
    done("made", "stored", "purge")
    assert score(bundle, location).num_enrolled == 3


def test_an_enrolment_is_answered_from_in_the_next_score_and_again_when_it_is_repeated(
    writer: StoreWriter, bundle: Path, location: str
) -> None:
    files = photographs(5)
    done = enroll(writer, files[:3], "key")
    assert len(done.added) == 3
    assert score(bundle, location, sequence=done.sequence).version == done.version
    repeated = enroll(writer, files[:3], "key")
    assert repeated.is_repeated
    assert (repeated.version, repeated.added) == (done.version, done.added)
    with pytest.raises(ConflictError):
        enroll(writer, files, "key")
    again = enroll(writer, files[:3])
    assert (again.version, again.added, len(again.already_there)) == (done.version, (), 3)


def test_the_order_of_enrolment_is_irrelevant(bundle: Path, tmp_path: Path) -> None:
    files = photographs(6)
    answers = []
    for name, order in (("forward", files), ("backward", files[::-1])):
        writer = StoreWriter(bundle, str(tmp_path / name), device="cpu", limits=Limits())
        writer.create("carpet", DomainSettings(calibration="split"), author=AUTHOR)
        for data in order:
            enroll(writer, [data])
        answers.append(score(bundle, str(tmp_path / name)))
    assert answers[0].score == answers[1].score
    assert answers[0].threshold == answers[1].threshold


def test_split_and_coreset_are_said(writer: StoreWriter, bundle: Path, location: str) -> None:
    writer.create(
        "carpet", DomainSettings(calibration="split", coreset=3, false_alarm_rate=0.01), author=AUTHOR
    )
    enroll(writer, photographs(12))
    threshold = score(bundle, location).threshold
    assert (threshold.scheme, threshold.num_compared, threshold.num_calibration) == ("split", 3, 6)
    assert threshold.value is None  # 1% takes 99
    assert threshold.guarantee == "none"
    assert score(bundle, location).verdict == "uncalibrated"


def test_the_last_reference_cannot_be_removed(writer: StoreWriter, location: str) -> None:
    (only,) = enroll(writer, photographs(1)).added
    for purge in (False, True):
        with pytest.raises(ConflictError, match="enrol others first, or delete the domain"):
            writer.remove("carpet", only.id, purge=purge, author=AUTHOR)
    with pytest.raises(MissingError):
        writer.remove("carpet", "0" * 64, purge=False, author=AUTHOR)
    assert len(ReferenceStore(location).head("carpet").references) == 1


def test_a_purge_of_a_reference_that_is_not_current_makes_nothing(
    writer: StoreWriter, location: str, events: list[str]
) -> None:
    first = enroll(writer, photographs(3))
    gone = first.added[0].id
    writer.remove("carpet", gone, purge=False, author=AUTHOR)
    events.clear()
    writer.remove("carpet", gone, purge=True, author=AUTHOR)
    assert events == ["purge"]
    with pytest.raises(MissingError):
        ReferenceStore(location).image("carpet", gone)


def test_a_version_whose_references_are_all_purged_cannot_be_rolled_back_to(writer: StoreWriter) -> None:
    first = enroll(writer, photographs(1))
    enroll(writer, photographs(2, seed=4))
    writer.remove("carpet", first.added[0].id, purge=True, author=AUTHOR)
    with pytest.raises(ConflictError, match="has been purged"):
        writer.rollback("carpet", first.version, author=AUTHOR)
    with pytest.raises(MissingError):
        writer.rollback("carpet", 77, author=AUTHOR)


def test_an_enrolment_that_fails_leaves_nothing(writer: StoreWriter, location: str) -> None:
    enroll(writer, photographs(2))
    before = ReferenceStore(location).head("carpet")
    broken = Upload(name="broken.png", data=b"no image", width_px=1, height_px=1)
    with pytest.raises(ImageError, match=r"broken\.png"):
        writer.enroll("carpet", [broken], author=AUTHOR, idempotency_key="k")
    assert ReferenceStore(location).head("carpet") == before
    images = Path(location, "domains", "carpet", "images")
    assert len(list(images.iterdir())) == 2
    with pytest.raises(ConflictError, match="12"):
        enroll(writer, photographs(11, seed=3))
    assert ReferenceStore(location).head("carpet") == before


def test_domains_are_limited(writer: StoreWriter) -> None:
    writer.create("grid", DomainSettings(), author=AUTHOR)
    with pytest.raises(ConflictError, match="2 domains already"):
        writer.create("tile", DomainSettings(), author=AUTHOR)
    writer.create("grid", DomainSettings(note="changed"), author=AUTHOR)
    writer.delete("grid", author=AUTHOR)
    writer.create("tile", DomainSettings(), author=AUTHOR)
    with pytest.raises(MissingError):
        writer.enroll("grid", uploads(photographs(1)), author=AUTHOR, idempotency_key=None)


def test_a_new_bundle_takes_over_from_the_photographs(
    bundle: Path, location: str, tmp_path: Path, events: list[str]
) -> None:
    writer = StoreWriter(bundle, location, device="cpu", limits=Limits())
    for name in ("carpet", "grid", "bare", "gone"):
        writer.create(name, DomainSettings(), author=AUTHOR)
    for name in ("carpet", "grid", "gone"):
        writer.enroll(name, uploads(photographs(3)), author=AUTHOR, idempotency_key=None)
    writer.delete("gone", author=AUTHOR)
    new = bundled(tmp_path / "new", "patch_knn")
    seen: list[tuple[int, int, str]] = []
    following = StoreWriter(new, location, device="cpu", limits=Limits())
    assert following.embed_all(lambda *p: seen.append(p)) == 2
    assert seen == [(1, 3, "bare"), (2, 3, "carpet"), (3, 3, "grid")]
    events.clear()
    assert following.embed_all() == 0
    assert score(new, location).bundle_id != score(bundle, location).bundle_id
    assert events == []


def test_a_domain_that_cannot_be_embedded_is_named_and_the_others_are(
    writer: StoreWriter, location: str, tmp_path: Path, events: list[str]
) -> None:
    enroll(writer, photographs(2))
    writer.create("grid", DomainSettings(), author=AUTHOR)
    writer.enroll("grid", uploads(photographs(2, 7)), author=AUTHOR, idempotency_key=None)
    for image in Path(location, "domains", "carpet", "images").iterdir():
        image.write_bytes(b"damaged")
    following = StoreWriter(bundled(tmp_path / "new", "patch_knn"), location, device="cpu", limits=Limits())
    events.clear()
    with pytest.raises(StoreError, match=r"1 of 2 domains cannot .*carpet"):
        following.embed_all()
    assert events == ["made", "stored"]
