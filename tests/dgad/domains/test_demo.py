import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dgad.domains import open_dataset
from dgad.domains.checks import check_dataset
from dgad.domains.demo import DEFECTS, KINDS, SURFACES, render, synthesize
from dgad.domains.demo.write import _MIN_DEFECT_AREA, VISIBLE_STEP
from dgad.domains.images import load_images, load_masks
from dgad.errors import DataError, SettingsError


def rng(seed):
    return np.random.default_rng(seed)


def files(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", SURFACES)
def test_surfaces_are_pure_functions_of_style_chance_and_size(name):
    first = SURFACES[name](rng(1), rng(2), 64).pixels
    np.testing.assert_array_equal(first, SURFACES[name](rng(1), rng(2), 64).pixels)
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert first.std() > 0.02
    assert not np.array_equal(first, SURFACES[name](rng(1), rng(3), 64).pixels)
    assert not np.array_equal(first, SURFACES[name](rng(4), rng(2), 64).pixels)


@pytest.mark.parametrize("name", SURFACES)
def test_images_of_one_style_are_more_alike_than_those_of_two(name):
    def mean_colour(style, image):
        return SURFACES[name](rng(style), rng(image), 64).pixels.mean(axis=(0, 1))

    within = [np.linalg.norm(mean_colour(s, 10) - mean_colour(s, 11)) for s in range(6)]
    between = [np.linalg.norm(mean_colour(s, 10) - mean_colour(s + 1, 11)) for s in range(6)]
    assert np.mean(within) < np.mean(between)


@pytest.mark.parametrize("name", SURFACES)
def test_a_surface_keeps_its_scale_at_any_size(name):
    """Twice the pixels show the same piece: the spectrum's centre stays where it was, in cycles an image."""

    def centre(size):
        tones = [SURFACES[name](rng(1), rng(i), size).pixels.mean(axis=2) for i in range(3)]
        power = sum(np.abs(np.fft.rfft2(t - t.mean()))[: size // 2, : size // 2] ** 2 for t in tones)[
            :32, :32
        ]
        radius = np.hypot(*np.mgrid[:32, :32])
        return (radius * power).sum() / power.sum()

    assert centre(128) == pytest.approx(centre(64), rel=0.35)


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, kinds in KINDS.items() for k in kinds])
def test_masks_are_exactly_the_visibly_changed_pixels(name, kind):
    photograph, mask = render(name, kind, style_seed=1, image_seed=5, image_size_px=64)
    again, _ = render(name, kind, style_seed=1, image_seed=5, image_size_px=64)
    np.testing.assert_array_equal(photograph, again)
    flawless, none = render(name, "good", style_seed=1, image_seed=5, image_size_px=64)
    assert none is None
    change = np.abs(photograph.astype(int) - flawless.astype(int)).max(axis=2)
    np.testing.assert_array_equal(mask, change >= VISIBLE_STEP)
    assert _MIN_DEFECT_AREA <= mask.mean() < 0.25


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
        image_size_px=48,
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
    options = {"image_size_px": 32, "num_train": 1}
    synthesize(tmp_path / "few", domains=["tile"], num_good=1, num_defective=2, **options)
    synthesize(tmp_path / "many", domains=["leather", "tile"], num_good=3, num_defective=9, **options)
    synthesize(tmp_path / "other", seed=1, domains=["tile"], num_good=1, num_defective=2, **options)
    few, many, other = (files(tmp_path / n) for n in ("few", "many", "other"))
    assert few.items() <= many.items()
    assert few.keys() == other.keys()
    assert all(few[name] != other[name] for name in few if "ground_truth" not in name)


def test_without_photometric_change_the_light_is_constant(tmp_path):
    spreads = []
    for photometric in (0.0, 1.0, 3.0):
        means = [
            render("wood", "good", style_seed=1, image_seed=i, image_size_px=32, photometric=photometric)[
                0
            ].mean()
            for i in range(12)
        ]
        spreads.append(np.std(means))
    assert spreads[0] < spreads[1] < spreads[2]


def test_brightness_alone_tells_little(tmp_path):
    names = list(SURFACES)
    synthesize(tmp_path / "out", domains=names, num_train=1, num_good=16, num_defective=16, image_size_px=64)
    apart = {"mean": [], "darkest": [], "brightest": [], "spread": []}
    for domain in open_dataset(str(tmp_path / "out")).domains.values():
        labels = [s.label for s in domain.tests]
        grey = load_images(domain.tests, 64).images.float().mean(1).flatten(1).numpy()
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
        images = load_images(samples, 128).images.numpy().astype(float)
        for image, mask in zip(images, load_masks(samples, 128), strict=True):
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
        ({"image_size_px": 8}, "image_size_px"),
        ({"photometric": -1.0}, "photometric"),
    ],
)
def test_bad_settings_are_named_and_nothing_is_written(tmp_path, options, message):
    with pytest.raises(SettingsError, match=message):
        synthesize(tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_it_never_writes_into_a_folder_with_content(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(DataError, match="not an empty folder"):
        synthesize(tmp_path)
    with pytest.raises(DataError, match="not an empty folder"):
        synthesize(tmp_path / "mine.txt")
    assert files(tmp_path) == {"mine.txt": b"x"}
    (tmp_path / "empty").mkdir()
    synthesize(
        tmp_path / "empty", domains=["tile"], num_train=1, num_good=0, num_defective=0, image_size_px=32
    )
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
