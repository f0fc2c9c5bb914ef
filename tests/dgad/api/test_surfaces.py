"""Comparers and surfaces as a user works with them."""

import dataclasses
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dgad
from dgad.api.inputs import decode_inputs, list_inputs
from dgad.domains import images as images_module
from dgad.errors import BundleError, DataError, ImageError, SettingsError
from tests.conftest import Run
from tests.dgad.api.conftest import write_small_bundle


def scores(found: list[dgad.ScoredImage]) -> list[float]:
    return [scored.score for scored in found]


def array(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_scores_equal_those_of_the_command(
    surface: dgad.Surface, bundle: Path, good: Path, parts: list[Path], run: Run
) -> None:
    done = run("score", "--bundle", bundle, "--references", good, *parts, "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["results"]
    found = surface.score(parts)
    assert [scored.name for scored in found] == [row["image"] for row in told]
    assert scores(found) == [row["score"] for row in told]


def test_what_a_score_means(surface: dgad.Surface, parts: list[Path]) -> None:
    assert surface.lowest_rate == pytest.approx(1 / 13)
    assert surface.false_alarm_rate == surface.lowest_rate
    assert surface.guarantee == "approximate"
    found = surface.score(parts)
    assert len(found) == 8
    assert {scored.verdict for scored in found} == {"normal", "abnormal"}
    for scored in found:
        assert scored.threshold == surface.threshold
        assert scored.p_value is not None
        assert scored.threshold is not None
        assert (scored.verdict == "abnormal") == (scored.score > scored.threshold)
        assert (scored.verdict == "abnormal") == (scored.p_value <= surface.lowest_rate)
        assert scored.to_dict()["verdict"] == scored.verdict
        json.dumps(scored.to_dict(), allow_nan=False)


def test_a_single_image_gives_a_list_of_one(surface: dgad.Surface, parts: list[Path]) -> None:
    for one in (parts[0], str(parts[0]), array(parts[0]), Image.open(parts[0])):
        (scored,) = surface.score(one)
        assert scored.score == surface.score(parts)[0].score
    assert surface.score([]) == []


def test_files_folders_arrays_and_pil_images_are_one_and_the_same(
    comparer: dgad.Comparer, good: Path, parts: list[Path], surface: dgad.Surface
) -> None:
    files = sorted(good.iterdir())
    mixed = [files[0], str(files[1]), array(files[2]), Image.open(files[3]), *map(array, files[4:])]
    other = comparer.enroll(mixed[::-1])
    assert other.threshold == surface.threshold
    assert scores(other.score(parts)) == scores(surface.score(parts))
    stacked = np.stack([array(p) for p in parts])
    assert scores(other.score(stacked)) == scores(surface.score(parts))
    assert [scored.name for scored in other.score(stacked)][:2] == ["images[0]", "images[1]"]


def test_grey_arrays_are_grey_images(surface: dgad.Surface, parts: list[Path]) -> None:
    grey = np.asarray(Image.open(parts[0]).convert("L"))
    assert scores(surface.score(grey)) == scores(surface.score(np.stack([grey] * 3, axis=2)))


def test_a_pil_image_stays_as_it_was_and_is_turned_upright(
    surface: dgad.Surface, parts: list[Path], tmp_path: Path
) -> None:
    wide = Image.open(parts[0]).convert("RGB").crop((0, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    wide.save(tmp_path / "turned.png", exif=exif)
    opened = Image.open(tmp_path / "turned.png")
    by_image, by_path = surface.score([opened, tmp_path / "turned.png"])
    assert opened.size == (64, 32)
    assert (by_image.width_px, by_image.height_px) == (32, 64)
    assert by_image.score == by_path.score


def test_heatmaps_regions_and_overlays_are_in_the_originals_pixels(
    surface: dgad.Surface, parts: list[Path], tmp_path: Path
) -> None:
    large = Image.open(parts[-1]).convert("RGB").resize((150, 100))
    (scored,) = surface.score(large)
    assert scored.pixel_scores is not None
    assert scored.pixel_scores.shape == (32, 32)
    heatmap = scored.heatmap
    assert heatmap is not None
    assert heatmap.shape == (100, 150)
    assert heatmap.dtype == np.float32
    for region in scored.regions:
        assert 0 <= region.x < region.x + region.width <= 150
        assert 0 <= region.y < region.y + region.height <= 100
    saved = scored.save_overlay(tmp_path / "new" / "overlay.png")
    picture = Image.open(saved)
    assert (picture.format, picture.size) == ("PNG", (150, 100))
    assert saved.read_bytes() == scored.overlay() == scored._repr_png_()
    with pytest.raises(DataError, match="because a folder has its name"):
        scored.save_overlay(tmp_path)


def test_some_defect_is_marked_where_it_is(surface: dgad.Surface, demo_data: Path) -> None:
    marked = [scored for scored in surface.score(demo_data / "wood" / "test" / "good") if scored.regions]
    abnormal = [
        scored
        for kind in (demo_data / "wood" / "test").iterdir()
        if kind.name != "good"
        for scored in surface.score(kind)
    ]
    assert len(marked) < sum(bool(scored.regions) for scored in abnormal)


def test_another_rate_is_another_threshold_without_enrolling_again(surface: dgad.Surface) -> None:
    loose = surface.with_false_alarm_rate(0.5)
    assert loose.threshold is not None
    assert surface.threshold is not None
    assert loose.threshold < surface.threshold
    assert loose.enrolled is surface.enrolled
    too_low = surface.with_false_alarm_rate(0.001)
    assert (too_low.threshold, too_low.guarantee) == (None, "none")
    with pytest.raises(SettingsError, match="`false_alarm_rate` must be above 0 and below 1"):
        surface.with_false_alarm_rate(2.0)


def test_one_reference_scores_without_a_threshold(
    comparer: dgad.Comparer, good: Path, parts: list[Path]
) -> None:
    surface = comparer.enroll(sorted(good.iterdir())[0])
    (scored,) = surface.score(parts[0])
    assert (scored.verdict, scored.p_value, scored.threshold, scored.regions) == (
        "uncalibrated", None, None, ()
    )  # fmt: skip
    assert "no threshold" in repr(surface)


def test_split_and_coreset_bound_what_is_compared(comparer: dgad.Comparer, good: Path) -> None:
    split = comparer.enroll(good, calibration="split", false_alarm_rate=0.2)
    assert (split.guarantee, split.calibration.num_compared, split.false_alarm_rate) == ("exact", 6, 0.2)
    few = comparer.enroll(good, coreset=4)
    assert few.calibration.num_compared == 4
    with pytest.raises(SettingsError, match="`calibration` must be one of leave_one_out, split"):
        comparer.enroll(good, calibration="splt")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="`coreset` must be at least 2"):
        comparer.enroll(good, coreset=1)


def test_near_duplicates_are_warned_of_by_name(comparer: dgad.Comparer, good: Path) -> None:
    files = sorted(good.iterdir())
    brighter = np.clip(array(files[1]) * 1.05, 0, 255).astype(np.uint8)
    with pytest.warns(dgad.NearDuplicateWarning, match=r"references\[2\] is nearly .*001\.png") as told:
        surface = comparer.enroll([files[0], files[1], brighter])
    assert told[0].filename == __file__
    assert surface.references[2].near_duplicate_of == str(files[1])


def test_the_same_photograph_is_enrolled_once(comparer: dgad.Comparer, good: Path) -> None:
    files = sorted(good.iterdir())[:3]
    with pytest.warns(dgad.NearDuplicateWarning, match=r"000\.png is .*000\.png again: .* enrolled once"):
        surface = comparer.enroll([*files, files[0]])
    assert len(surface.references) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert comparer.enroll(files).threshold == surface.threshold


def test_an_image_that_is_a_reference_is_remarked(
    comparer: dgad.Comparer, good: Path, parts: list[Path]
) -> None:
    surface = comparer.enroll(good)
    own = sorted(good.iterdir())[3]
    with pytest.warns(
        dgad.ScoredReferenceWarning, match=rf"{own} is the reference {own}: .* says nothing"
    ) as told:
        answers = surface.score([parts[0], own])
    assert told[0].filename == __file__
    assert [a.same_as_reference for a in answers] == [None, str(own)]
    assert answers[1].to_dict()["same_as_reference"] == str(own)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        surface.score(parts)


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        (np.zeros((8, 8, 3)), r"`references\[1\]` must be a uint8 array .* got float64: scale it"),
        (np.zeros((3, 8, 8), np.uint8), r"`references\[1\]` must .* got \(3, 8, 8\): take `.transpose"),
        (np.zeros((8, 8, 4), np.uint8), r"`references\[1\]` must .* got \(8, 8, 4\): leave alpha out"),
        (np.zeros((0, 8, 3), np.uint8), r"`references\[1\]` must .* got \(0, 8, 3\)\."),
        (b"bytes", r"`references\[1\]` must be a path, .* but got bytes\."),
        (None, r"`references\[1\]` must be a path, .* but got NoneType\."),
        (Image.new("RGB", (0, 4)), r"`references\[1\]` has no pixels"),
        ("nowhere.png", r"No image file or folder nowhere\.png; check the path\."),
    ],
)
def test_a_bad_item_is_named(comparer: dgad.Comparer, good: Path, item: object, sentence: str) -> None:
    with pytest.raises(dgad.UserError, match=sentence):
        comparer.enroll([sorted(good.iterdir())[0], item])  # type: ignore[list-item]


def test_a_damaged_file_is_named(surface: dgad.Surface, parts: list[Path], tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(parts[0].read_bytes()[:-60])
    with pytest.raises(ImageError, match=r"torn\.png is damaged"):
        surface.score([parts[0], tmp_path / "torn.png"])
    with pytest.raises(DataError, match=r"`images` must be a path, .* but got int"):
        surface.score(3)  # type: ignore[arg-type]


def test_nothing_cannot_be_enrolled(comparer: dgad.Comparer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="At least 1 reference is needed, but got 0"):
        comparer.enroll([])
    with pytest.raises(DataError, match="holds no image"):
        comparer.enroll(tmp_path)


def test_no_comparer_of_that_name(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"bultin is no bundle: .* Did you mean `builtin`\?"):
        dgad.load_comparer("bultin")
    with pytest.raises(BundleError, match=r"is no bundle: it has no manifest\.json"):
        dgad.load_comparer(tmp_path)
    with pytest.raises(SettingsError, match="`device` must be auto, cpu"):
        dgad.load_comparer(bundle, device="tpu")


def test_a_method_without_maps_has_no_overlay(
    comparer: dgad.Comparer, surface: dgad.Surface, parts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = comparer.method.score

    def without_maps(queries, enrolled):
        return dataclasses.replace(whole(queries, enrolled), pixels=None)

    monkeypatch.setattr(comparer.method, "score", without_maps)
    (scored,) = surface.score(parts[0])
    assert (scored.heatmap, scored.regions, scored._repr_png_()) == (None, (), None)
    with pytest.raises(DataError, match="gives no pixel maps"):
        scored.overlay()


def test_the_shipped_comparer_needs_nothing_but_references(good: Path, parts: list[Path]) -> None:
    comparer = dgad.load_comparer(device="cpu")
    assert (comparer.location, comparer.geometry.scale, comparer.device) == ("builtin", "auto", "cpu")
    assert comparer.method.settings == dgad.METHODS["comparer"].presets["builtin"]
    surface = comparer.enroll(sorted(good.iterdir())[:4])
    found = surface.score(parts)
    normal = [scored.score for scored in found if "/good/" in scored.name]
    abnormal = [scored.score for scored in found if "/good/" not in scored.name]
    assert np.mean(abnormal) > np.mean(normal)
    assert dgad.load_comparer("builtin", device="cpu").bundle_id == comparer.bundle_id


def test_a_bundles_identity_is_the_comparers(tmp_path: Path, bundle: Path) -> None:
    comparer = dgad.load_comparer(bundle, device="cpu")
    info = dgad.read_bundle(bundle)
    assert (comparer.bundle_id, comparer.location) == (info.bundle_id, str(bundle.absolute()))
    other = dgad.load_comparer(write_small_bundle(tmp_path / "other", seed=1), device="cpu")
    assert other.bundle_id != comparer.bundle_id


def test_a_declared_bit_depth_is_the_surfaces_and_decides_how_images_are_read(
    comparer: dgad.Comparer, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    grey = [np.clip(rng.normal(2000, 600, (64, 64)), 0, 4095) for _ in range(3)]
    paths = []
    for index, pixels in enumerate(grey):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(pixels.astype(np.uint16)).save(paths[-1])
    with pytest.warns(dgad.NarrowRangeWarning, match=r"references have no value above .*`bit_depth=12`"):
        dark = comparer.enroll(paths[:2])
    with pytest.warns(dgad.NarrowRangeWarning, match="images have"):
        dark.score(paths[2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        surface = comparer.enroll(paths[:2], bit_depth=12)
        (scored,) = surface.score(paths[2])
        (as_pil,) = surface.score(Image.open(paths[2]))
    eight_bits = [np.rint(pixels.astype(np.uint16) * (255 / 4095)).astype(np.uint8) for pixels in grey]
    (expected,) = comparer.enroll(eight_bits[:2]).score(eight_bits[2])
    assert scored.score == as_pil.score == pytest.approx(expected.score, abs=1e-5)
    kept = dgad.load_surface(surface.save(tmp_path / "surface"), comparer)
    assert kept.settings.bit_depth == 12
    assert kept.score(paths[2])[0].score == scored.score


def test_images_beyond_the_bound_are_decoded_again_and_score_alike(
    surface: dgad.Surface, good: Path, parts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = scores(surface.score(parts))
    monkeypatch.setattr(images_module, "_KEPT_BYTES", 1)
    decoded = decode_inputs(list_inputs(parts, "images"), surface.comparer.geometry)
    assert not isinstance(decoded.images.images, tuple), "they are held together"
    assert scores(surface.score(parts)) == kept
    assert scores(surface.comparer.enroll(good).score(parts)) == kept
