import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from dgad.domains import open_dataset
from dgad.domains.checks import check_dataset
from dgad.domains.demo import (
    DEFECTS,
    DEFECTS_FILE,
    KINDS,
    SURFACES,
    make_look,
    parse_defect_px,
    parse_size,
    render,
    synthesize,
)
from dgad.domains.demo.noise import make_canvas
from dgad.domains.demo.photograph import MIN_DEFECT_AREA, VISIBLE_STEP
from dgad.domains.images import load_images, load_masks
from dgad.errors import DataError, SettingsError
from tests.geometries import squash


def rng(seed):
    return np.random.default_rng(seed)


def square(size):
    return make_canvas(size, size)


def files(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", SURFACES)
def test_surfaces_are_pure_functions_of_style_chance_and_size(name):
    first = SURFACES[name](rng(1), rng(2), square(64)).pixels
    np.testing.assert_array_equal(first, SURFACES[name](rng(1), rng(2), square(64)).pixels)
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert first.std() > 0.02
    assert not np.array_equal(first, SURFACES[name](rng(1), rng(3), square(64)).pixels)
    assert not np.array_equal(first, SURFACES[name](rng(4), rng(2), square(64)).pixels)


@pytest.mark.parametrize("name", SURFACES)
def test_images_of_one_style_are_more_alike_than_those_of_two(name):
    def mean_colour(style, image):
        return SURFACES[name](rng(style), rng(image), square(64)).pixels.mean(axis=(0, 1))

    within = [np.linalg.norm(mean_colour(s, 10) - mean_colour(s, 11)) for s in range(6)]
    between = [np.linalg.norm(mean_colour(s, 10) - mean_colour(s + 1, 11)) for s in range(6)]
    assert np.mean(within) < np.mean(between)


@pytest.mark.parametrize("name", SURFACES)
def test_up_to_128_px_a_surface_shows_the_same_piece(name):
    """Twice the pixels show it larger: the spectrum's centre stays where it was, in cycles an image."""

    def centre(size):
        tones = [SURFACES[name](rng(1), rng(i), square(size)).pixels.mean(axis=2) for i in range(3)]
        power = sum(np.abs(np.fft.rfft2(t - t.mean()))[: size // 2, : size // 2] ** 2 for t in tones)[
            :32, :32
        ]
        radius = np.hypot(*np.mgrid[:32, :32])
        return (radius * power).sum() / power.sum()

    assert centre(128) == pytest.approx(centre(64), rel=0.35)


@pytest.mark.parametrize("name", SURFACES)
def test_beyond_128_px_a_picture_shows_more_of_the_material_not_larger_threads(name):
    """A piece cut from a large picture has the spectrum, in cycles a pixel, of a small picture."""

    def profile(tones):
        power = sum(np.abs(np.fft.rfft2((t - t.mean()) * window)) ** 2 for t in tones)
        radius = np.rint(np.hypot(np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128)) * 128).astype(int)
        total = np.bincount(radius.ravel(), power.ravel())[2:64]  # what is coarser than 64 px is chance
        return np.cumsum(total) / total.sum()

    window = np.outer(np.hanning(128), np.hanning(128))
    small = [SURFACES[name](rng(1), rng(i), square(128)).pixels.mean(axis=2) for i in range(6)]
    large = SURFACES[name](rng(1), rng(9), make_canvas(512, 300)).pixels.mean(axis=2)
    assert large.shape == (300, 512)
    pieces = [large[y : y + 128, x : x + 128] for y in (0, 150) for x in (0, 190, 380)]
    assert np.abs(profile(small) - profile(pieces)).max() < 0.2
    doubled = [np.kron(t[:64, :64], np.ones((2, 2))) for t in small]
    assert np.abs(profile(small) - profile(pieces)).max() < np.abs(profile(doubled) - profile(pieces)).max()


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, kinds in KINDS.items() for k in kinds])
@pytest.mark.parametrize("options", [{"size_px": 64}, {"size_px": (180, 140), "defect_px": (4, 12)}])
def test_masks_are_exactly_the_visibly_changed_pixels(name, kind, options):
    look = make_look(**options)
    photograph, mask = render(name, kind, style_seed=1, image_seed=5, look=look)
    again, _ = render(name, kind, style_seed=1, image_seed=5, look=look)
    np.testing.assert_array_equal(photograph, again)
    flawless, none = render(name, "good", style_seed=1, image_seed=5, look=look)
    assert none is None
    change = np.abs(photograph.astype(int) - flawless.astype(int)).max(axis=2)
    np.testing.assert_array_equal(mask, change >= VISIBLE_STEP)
    if look.defect_px is None:
        assert MIN_DEFECT_AREA <= mask.mean() < 0.25
        return
    rows, columns = np.nonzero(mask)
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    assert 4 <= extent <= 12
    assert mask.shape == (140, 180)
    assert extent <= mask.sum() <= extent**2


def test_extents_are_drawn_log_uniformly_and_kept_beside_the_photographs(tmp_path):
    options = {"domains": ["leather"], "num_train": 1, "num_good": 1, "num_defective": 30}
    synthesize(tmp_path / "out", size_px=(130, 96), defect_px=(4, 32), variation=0, **options)
    folder = tmp_path / "out/leather"
    kept = json.loads((folder / DEFECTS_FILE).read_text())
    extents = []
    for name, sizes in kept.items():
        mask_name = name.replace("test/", "ground_truth/").replace(".png", "_mask.png")
        mask = np.asarray(Image.open(folder / mask_name)) > 0
        extents.append(max(np.ptp(places) + 1 for places in np.nonzero(mask)))
        assert sizes == {"extent_px": extents[-1], "area_px": mask.sum()}
    assert len(extents) == 30
    assert all((folder / name).is_file() for name in kept)
    assert 4 <= min(extents) < 8
    assert 16 < max(extents) <= 32
    assert 8 <= np.exp(np.mean(np.log(extents))) <= 16  # the middle of the range, its ends a factor 8 apart


def test_defects_lie_anywhere_in_a_large_picture_and_fainter_ones_change_less():
    centres, changes = [], {}
    for contrast in (0.3, 1.0):
        look = make_look(size_px=(240, 128), defect_px=(6, 10), contrast=contrast)
        drawn = [render("tile", "hole", style_seed=1, image_seed=i, look=look) for i in range(12)]
        good = [render("tile", "good", style_seed=1, image_seed=i, look=look)[0] for i in range(12)]
        pairs = zip(drawn, good, strict=True)
        changes[contrast] = np.mean([np.abs(p[m].astype(int) - g[m]).mean() for (p, m), g in pairs])
        centres += [np.mean(np.nonzero(mask), axis=1) for _, mask in drawn]
    assert changes[0.3] < 0.6 * changes[1.0]
    low, high = np.min(centres, axis=0), np.max(centres, axis=0)
    assert low[0] < 35
    assert low[1] < 65
    assert high[0] > 93
    assert high[1] > 175


def test_with_variation_flawless_images_differ_more_and_in_sessions():
    def means(variation):
        look = make_look(size_px=64, variation=variation, photometric=0.0)
        drawn = [render("brushed_metal", "good", style_seed=1, image_seed=i, look=look)[0] for i in range(20)]
        return np.array([image.mean() for image in drawn])

    assert means(0.0).std() < 0.5 * means(1.0).std()


def test_every_surface_has_several_kinds_and_every_kind_is_used():
    assert set(KINDS) == set(SURFACES)
    assert all(len(set(kinds)) >= 4 for kinds in KINDS.values())
    assert {k for kinds in KINDS.values() for k in kinds} == set(DEFECTS)


def test_the_tree_is_mvtec_with_the_counts_asked_for(tmp_path):
    synthesize(
        tmp_path / "new/out",
        domains=["wood", "grid"],
        num_train=3,
        num_good=2,
        num_defective=7,
        size_px=48,
    )
    result = check_dataset(str(tmp_path / "new/out"))
    assert result.layout == "mvtec"
    assert result.problems == ()
    assert [d.domain for d in result.domains] == ["grid", "wood"]
    for counts in result.domains:
        assert (counts.train_normals, counts.test_normals, counts.masks) == (3, 2, 7)
        assert set(counts.defects) == set(KINDS[counts.domain])
    assert (tmp_path / "new/out/wood/ground_truth/scratch/001_mask.png").is_file()
    assert os.listdir(tmp_path / "new") == ["out"]


def test_an_image_depends_on_seed_and_name_not_on_counts(tmp_path):
    options = {"size_px": 32, "num_train": 1}
    synthesize(tmp_path / "few", domains=["tile"], num_good=1, num_defective=2, **options)
    synthesize(tmp_path / "many", domains=["leather", "tile"], num_good=3, num_defective=9, **options)
    synthesize(tmp_path / "other", seed=1, domains=["tile"], num_good=1, num_defective=2, **options)
    few, many, other = (files(tmp_path / n) for n in ("few", "many", "other"))
    sizes = [json.loads(each.pop(f"tile/{DEFECTS_FILE}")) for each in (few, many)]
    assert sizes[0].items() <= sizes[1].items()
    del other[f"tile/{DEFECTS_FILE}"]
    assert few.items() <= many.items()
    assert few.keys() == other.keys()
    assert all(few[name] != other[name] for name in few if "ground_truth" not in name)


def test_without_photometric_change_the_light_is_constant(tmp_path):
    spreads = []
    for photometric in (0.0, 1.0, 3.0):
        means = [
            render(
                "wood",
                "good",
                style_seed=1,
                image_seed=i,
                look=make_look(size_px=32, photometric=photometric),
            )[0].mean()
            for i in range(12)
        ]
        spreads.append(np.std(means))
    assert spreads[0] < spreads[1] < spreads[2]


def test_brightness_alone_tells_little(tmp_path):
    names = list(SURFACES)
    synthesize(tmp_path / "out", domains=names, num_train=1, num_good=16, num_defective=16, size_px=64)
    apart = {"mean": [], "darkest": [], "brightest": [], "spread": []}
    for domain in open_dataset(str(tmp_path / "out")).domains.values():
        labels = [s.label for s in domain.tests]
        grey = load_images(domain.tests, squash(64)).stack().float().mean(1).flatten(1).numpy()
        statistics = (grey.mean(1), grey.min(1), grey.max(1), grey.std(1))
        for name, values in zip(apart, statistics, strict=True):
            area = roc_auc_score(labels, values)
            apart[name].append(max(area, 1 - area))
    assert np.mean(apart["mean"]) < 0.65
    for areas in apart.values():
        assert np.mean(areas) < 0.8


def test_defects_are_visible_against_their_surroundings(tmp_path):
    """Neither hopeless nor trivial: marked pixels differ from the rest of their image, not always by much."""
    contrasts = []
    synthesize(tmp_path / "out", domains=["woven", "tile"], num_train=1, num_good=0, num_defective=20)
    for domain in open_dataset(str(tmp_path / "out")).domains.values():
        samples = [s for s in domain.tests if s.label]
        images = load_images(samples, squash(128)).stack().numpy().astype(float)
        for image, mask in zip(images, load_masks(samples, [(128, 128)] * len(samples)), strict=True):
            contrasts.append(np.abs(image[:, mask].mean(1) - image[:, ~mask].mean(1)).max() / image.std())
    assert np.median(contrasts) > 0.4
    assert np.min(contrasts) < 0.5 * np.median(contrasts)  # some are subtle


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"domains": ["wovn"]}, r"`domains` must be among woven, .*wovn Did you mean `woven`"),
        ({"domains": []}, "at least one"),
        ({"domains": ["tile", "tile"]}, "all different"),
        ({"num_train": 0}, "`num_train` must be 1 or more"),
        ({"num_defective": -1}, "num_defective"),
        ({"size_px": 8}, r"`size_px` must be 32 to 8192 pixels wide and high.*'8x8'"),
        ({"size_px": (8000, 8000)}, "at most 16,777,216 in all"),
        ({"size_px": 64, "defect_px": (2, 8)}, r"`defect_px` must be LEAST-GREATEST with both 3 to 32"),
        ({"size_px": 64, "defect_px": (12, 8)}, "LEAST-GREATEST"),
        ({"size_px": (100, 64), "defect_px": (4, 33)}, "half the shorter side"),
        ({"contrast": 0.0}, "contrast"),
        ({"variation": 4.0}, "variation"),
        ({"photometric": -1.0}, "photometric"),
    ],
)
def test_bad_settings_are_named_and_nothing_is_written(tmp_path, options, message):
    with pytest.raises(SettingsError, match=message):
        synthesize(tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_sizes_and_extents_are_read_as_people_write_them():
    assert [parse_size(t) for t in ("96", "1600x1200", " 320X240 ")] == [(96, 96), (1600, 1200), (320, 240)]
    assert [parse_defect_px(t) for t in ("8-40", "12")] == [(8, 40), (12, 12)]
    for text in ("", "large", "16x", "1600x1200x3", "-5", "1.5"):
        with pytest.raises(SettingsError, match="`size` must be N or WxH"):
            parse_size(text)
        with pytest.raises(SettingsError, match="`defect_px` must be LEAST-GREATEST"):
            parse_defect_px(text)


def test_it_never_writes_into_a_folder_with_content(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(DataError, match="not an empty folder"):
        synthesize(tmp_path)
    with pytest.raises(DataError, match="not an empty folder"):
        synthesize(tmp_path / "mine.txt")
    assert files(tmp_path) == {"mine.txt": b"x"}
    (tmp_path / "empty").mkdir()
    synthesize(tmp_path / "empty", domains=["tile"], num_train=1, num_good=0, num_defective=0, size_px=32)
    assert list(files(tmp_path / "empty")) == ["tile/train/good/000.png"]


def test_a_parent_that_is_a_file_is_the_users_mistake(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot be written"):
        synthesize(tmp_path / "file/out", domains=["tile"])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_never_looks_whole(tmp_path, how):
    code = (
        "import time; from dgad.domains.demo import synthesize;"
        f"synthesize({str(tmp_path / 'out')!r}, domains=['tile'],"
        " progress=lambda done, total: (print(done, flush=True), time.sleep(60)))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout.readline().strip() == "1"
    process.send_signal(how)
    process.wait(timeout=60)
    process.stdout.close()
    assert not (tmp_path / "out").exists()
    if how == signal.SIGINT:
        assert list(tmp_path.iterdir()) == []
