"""Saved surfaces come back as they were, or are refused with one sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import dgad
from dgad.api.surface_files import DESCRIPTION_FILE, MANIFEST_FILE, STATE_FILE
from dgad.errors import BundleError, ConflictError, StoreError
from tests.dgad.api.conftest import write_small_bundle


@pytest.fixture
def saved(surface: dgad.Surface, tmp_path: Path) -> Path:
    """The surface on disk."""
    return surface.save(tmp_path / "surface")


def test_a_loaded_surface_scores_the_same(surface: dgad.Surface, saved: Path, parts: list[Path]) -> None:
    for loaded in (
        dgad.load_surface(saved),
        dgad.load_surface(str(saved), surface.comparer),
        dgad.Surface.load(saved, surface.comparer.location),
    ):
        assert loaded.references == surface.references
        assert loaded.settings == surface.settings
        assert (loaded.threshold, loaded.guarantee) == (surface.threshold, surface.guarantee)
        assert [s.to_dict() for s in loaded.score(parts)] == [s.to_dict() for s in surface.score(parts)]
        assert loaded.score(parts[0])[0].overlay() == surface.score(parts[0])[0].overlay()


def test_an_uncalibrated_surface_comes_back(comparer: dgad.Comparer, good: Path, tmp_path: Path) -> None:
    one = comparer.enroll(sorted(good.iterdir())[0])
    loaded = dgad.load_surface(one.save(tmp_path / "one"), comparer)
    assert loaded.threshold is None
    assert loaded.calibration.map_limit == float("inf")


def test_saving_again_replaces_the_whole(surface: dgad.Surface, saved: Path) -> None:
    other = surface.with_false_alarm_rate(0.5)
    assert other.save(saved) == saved
    assert dgad.load_surface(saved, surface.comparer).threshold == other.threshold
    assert sorted(p.name for p in saved.parent.iterdir()) == ["surface"]


def test_a_failed_save_leaves_what_was_there(
    surface: dgad.Surface, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p.name: p.read_bytes() for p in saved.iterdir()}

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device", str(self))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            surface.with_false_alarm_rate(0.5).save(saved)
    assert {p.name: p.read_bytes() for p in saved.iterdir()} == before
    assert sorted(p.name for p in saved.parent.iterdir()) == ["surface"]


def test_it_holds_no_photograph(saved: Path, good: Path) -> None:
    assert sorted(p.name for p in saved.iterdir()) == sorted((DESCRIPTION_FILE, MANIFEST_FILE, STATE_FILE))
    assert all(p.suffix in (".json", ".safetensors") for p in saved.iterdir())


def test_something_else_is_not_replaced(surface: dgad.Surface, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="exists and is no surface, so it is not replaced"):
        surface.save(tmp_path)
    with pytest.raises(StoreError, match="exists and is no surface"):
        surface.save(tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_another_comparer_is_refused(saved: Path, tmp_path: Path) -> None:
    other = write_small_bundle(tmp_path / "other", seed=1)
    with pytest.raises(
        ConflictError, match=r"was enrolled with comparer .* but .*other is .*: give that one"
    ):
        dgad.load_surface(saved, other)
    with pytest.raises(ConflictError, match="but builtin is"):
        dgad.load_surface(saved, "builtin")


def test_a_bundle_that_has_moved_is_asked_for(bundle: Path, good: Path, tmp_path: Path) -> None:
    moving = tmp_path / "bundle"
    shutil.copytree(bundle, moving)
    saved = dgad.load_comparer(moving).enroll(good).save(tmp_path / "surface")
    moving.rename(tmp_path / "moved")
    with pytest.raises(BundleError, match="which is not there: give the folder where it is now"):
        dgad.load_surface(saved)
    assert dgad.load_surface(saved, tmp_path / "moved").references


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _retell(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: _flip(f / STATE_FILE), f"{STATE_FILE} differs from what was written"),
        (lambda f: _flip(f / DESCRIPTION_FILE), f"{DESCRIPTION_FILE} differs from what was written"),
        (lambda f: _retell(f / DESCRIPTION_FILE, bundle_id="0"), "differs from what was written"),
        (lambda f: (f / STATE_FILE).unlink(), f"{STATE_FILE} is missing: copy the whole surface again"),
        (lambda f: (f / MANIFEST_FILE).unlink(), "is no surface: it lacks"),
        (lambda f: (f / MANIFEST_FILE).write_text("{"), f"{MANIFEST_FILE} differs from what was written"),
        (lambda f: _retell(f / MANIFEST_FILE, files={}), f"{MANIFEST_FILE} differs"),
        (lambda f: _retell(f / MANIFEST_FILE, files=[]), f"{MANIFEST_FILE} differs"),
        (lambda f: _retell(f / MANIFEST_FILE, format_version="1"), f"{MANIFEST_FILE} differs"),
        (lambda f: _retell(f / MANIFEST_FILE, format_version=2), "has format version 2, .* update dgad"),
    ],
)
def test_damage_and_newer_formats_are_told_in_one_sentence(
    saved: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    damage(saved)
    with pytest.raises(StoreError, match=sentence) as told:
        dgad.load_surface(saved)
    assert "\n" not in str(told.value)


def test_no_surface_at_all(tmp_path: Path, bundle: Path) -> None:
    for nothing in (tmp_path / "nowhere", bundle):
        with pytest.raises(StoreError, match=r"is no surface: .* Name a folder that `surface\.save` has"):
            dgad.load_surface(nothing)
