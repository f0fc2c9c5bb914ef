import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from dgad.domains import open_dataset
from dgad.domains.checks import check_dataset
from dgad.domains.pack import pack
from dgad.errors import DataError

from .trees import mask, mvtec_domain, mvtec_tree, noise, save


def found(root, code):
    """(severity, path relative to root) of the problems with a code."""
    result = check_dataset(str(root))
    return [(p.severity, os.path.relpath(p.path, root)) for p in result.problems if p.code == code]


def test_a_sound_data_set_has_counts_and_no_problems(tmp_path):
    seen = []
    result = check_dataset(str(mvtec_tree(tmp_path)), progress=lambda done, total: seen.append((done, total)))
    assert result.problems == ()
    assert result.num_fatal == 0
    assert [d.domain for d in result.domains] == ["Alpha", "beta"]
    assert result.domains[0].train_normals == 2
    assert result.domains[0].test_normals == 1
    assert result.domains[0].defects == {"scratch": 2}
    assert result.domains[0].masks == 2
    assert seen == [(i, 10) for i in range(1, 11)]


def test_unreadable_images_and_masks(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    (folder / "train/good/000.png").write_bytes(b"no image")
    whole = (folder / "ground_truth/scratch/001_mask.png").read_bytes()
    (folder / "ground_truth/scratch/001_mask.png").write_bytes(whole[:40])
    assert found(tmp_path, "unreadable_file") == [
        ("fatal", "a/ground_truth/scratch/001_mask.png"),
        ("fatal", "a/train/good/000.png"),
    ]
    messages = [p.message for p in check_dataset(str(tmp_path)).problems if p.severity == "fatal"]
    assert not any(str(tmp_path) in m for m in messages)  # the path has a field of its own


def test_a_mask_of_another_size(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    save(folder / "ground_truth/scratch/000_mask.png", mask((20, 24)))
    assert found(tmp_path, "mask_of_another_size") == [("fatal", "a/ground_truth/scratch/000_mask.png")]


def test_a_turned_photograph_fits_a_mask_of_its_upright_size(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    (folder / "test/scratch/000.png").unlink()
    image = Image.fromarray(noise("turned", (20, 24)))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(folder / "test/scratch/000.jpg", exif=exif)
    assert check_dataset(str(tmp_path)).problems == ()


def test_empty_and_orphan_masks(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    save(folder / "ground_truth/scratch/000_mask.png", np.zeros((24, 20), np.uint8))
    save(folder / "ground_truth/scratch/007_mask.png", mask())
    save(folder / "ground_truth/dent/000_mask.png", mask())
    assert found(tmp_path, "empty_mask") == [("warning", "a/ground_truth/scratch/000_mask.png")]
    assert found(tmp_path, "mask_without_image") == [
        ("warning", "a/ground_truth/dent/000_mask.png"),
        ("warning", "a/ground_truth/scratch/007_mask.png"),
    ]


def test_the_same_image_in_train_and_test_even_if_encoded_anew(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    Image.open(folder / "train/good/001.png").save(folder / "test/good/000.bmp")
    assert found(tmp_path, "same_image_in_train_and_test") == [("fatal", "a/test/good/000.bmp")]


def test_a_leak_is_found_behind_an_earlier_copy(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    shutil.copy(folder / "train/good/000.png", folder / "train/good/005.png")
    shutil.copy(folder / "train/good/000.png", folder / "test/good/005.png")
    assert found(tmp_path, "same_image_in_train_and_test") == [("fatal", "a/test/good/005.png")]
    assert found(tmp_path, "same_image_twice")[0][0] == "warning"


def test_the_same_image_in_two_domains_or_under_two_labels(tmp_path):
    root = mvtec_tree(tmp_path)
    shutil.copy(root / "Alpha/train/good/000.png", root / "beta/train/good/009.png")
    assert found(root, "same_image_in_two_domains") == [("fatal", "beta/train/good/009.png")]
    (root / "beta/train/good/009.png").unlink()
    shutil.copy(root / "beta/test/good/000.png", root / "beta/test/scratch/009.png")
    assert found(root, "same_image_under_two_labels") == [("fatal", "beta/test/scratch/009.png")]


def test_equal_pixels_of_another_shape_are_another_image(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    save(folder / "test/good/001.png", np.zeros((10, 20), np.uint8))
    save(folder / "train/good/002.png", np.zeros((20, 10), np.uint8))
    assert check_dataset(str(tmp_path)).num_fatal == 0


def test_domains_without_normals_or_defects(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    for path in (folder / "train/good").iterdir():
        path.unlink()
    shutil.rmtree(mvtec_domain(tmp_path, "b") / "test/scratch")
    assert found(tmp_path, "no_train_normals") == [("fatal", "a")]
    assert found(tmp_path, "no_defects") == [("warning", "b")]
    assert found(tmp_path, "one_test_class") == [("warning", "b")]


def test_an_incomplete_domain_is_not_left_out_silently(tmp_path):
    mvtec_domain(tmp_path, "a")
    shutil.rmtree(mvtec_domain(tmp_path, "b") / "train")
    assert found(tmp_path, "incomplete_domain") == [("fatal", "b")]


def test_a_domain_with_its_folders_in_another_case_is_told_what_to_rename(tmp_path):
    mvtec_domain(tmp_path, "a")
    folder = mvtec_domain(tmp_path, "b")
    for name in ("train", "test"):
        (folder / name).rename(folder / f"old_{name}")
        (folder / f"old_{name}").rename(folder / name.title())
    (told,) = [p.message for p in check_dataset(tmp_path).problems if p.domain == "b"]
    assert told.endswith("; rename `Test` to `test`; rename `Train` to `train`")


def test_what_is_ignored_is_said(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    (folder / "test/good/001.txt").write_text("which shift took it")
    (folder / "test/good/001.HEIC").write_bytes(b"a phone's photograph")
    (folder / "license.txt").write_text("in the domain's own folder anything may lie")
    save(folder / "train/bad/000.png", noise("x"))
    assert found(tmp_path, "ignored_file") == [("note", "a/test/good/001.txt")]
    assert found(tmp_path, "unread_photograph") == [("warning", "a/test/good/001.HEIC")]
    assert found(tmp_path, "images_left_out") == [("warning", "a/train/bad")]


def test_crops_of_one_photograph_on_both_sides(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    pairs = [("train/good/000.png", "p"), ("test/good/000.png", "p"), ("test/scratch/000.png", "q")]
    (folder / "sources.json").write_text(json.dumps([{"file": f, "source": s} for f, s in pairs]))
    result = check_dataset(str(tmp_path))
    assert [(p.code, p.severity) for p in result.problems] == [("photograph_in_train_and_test", "warning")]
    assert "1 photograph" in result.problems[0].message


def test_some_masks_missing_is_a_warning_and_none_at_all_is_not(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    (folder / "ground_truth/scratch/000_mask.png").unlink()
    assert found(tmp_path, "some_masks_missing") == [("warning", "a")]
    shutil.rmtree(folder / "ground_truth")
    assert check_dataset(str(tmp_path)).problems == ()


def test_packed_domains_are_checked_alike(tmp_path):
    folder = mvtec_domain(tmp_path / "src", "a")
    shutil.copy(folder / "train/good/000.png", folder / "test/good/003.png")
    (folder / "train/good/001.png").write_bytes(b"no image")
    pack(str(tmp_path / "src"), str(tmp_path / "dst"))
    result = check_dataset(str(tmp_path / "dst"))
    assert {p.code for p in result.problems} == {"unreadable_file", "same_image_in_train_and_test"}
    assert all("a.parquet#" in p.path for p in result.problems)


def test_the_gravest_come_first(tmp_path):
    folder = mvtec_domain(tmp_path, "a")
    (folder / "test/good/001.txt").write_text("which shift took it")
    (folder / "test/good/001.HEIC").write_bytes(b"a phone's photograph")
    save(folder / "ground_truth/scratch/000_mask.png", np.zeros((24, 20), np.uint8))
    (folder / "train/good/000.png").write_bytes(b"")
    severities = [p.severity for p in check_dataset(str(tmp_path)).problems]
    assert severities == ["fatal", "warning", "warning", "note"]


@pytest.mark.parametrize(
    "link",
    [
        "a/train/good/002.png",
        "a/test/dent",
        "a/test/scratch/002.png",
        "a/ground_truth/scratch",
        "b",
        "a/sources.json",
    ],
)
def test_a_link_that_leads_nowhere_is_called_one(tmp_path, link):
    folder = mvtec_domain(tmp_path, "a")
    if link == "a/ground_truth/scratch":
        shutil.rmtree(folder / "ground_truth/scratch")
    os.symlink("/not/there", tmp_path / link)
    (broken,) = [p for p in check_dataset(str(tmp_path)).problems if p.severity == "fatal"]
    assert os.path.relpath(broken.path, tmp_path) == link
    assert broken.message == "is a link to /not/there, which is not there; mend or remove it"
    if link != "b":
        with pytest.raises(DataError, match=f"{link} is a link to /not/there, which is not there"):
            open_dataset(str(tmp_path)).domain("a")


def test_folders_that_are_no_domain_are_told(tmp_path):
    mvtec_domain(tmp_path, "a")
    mvtec_domain(tmp_path / "upper", "b").joinpath("train").rename(tmp_path / "upper/b/Train")
    os.rename(tmp_path / "upper/b", tmp_path / "b")
    save(tmp_path / "extra/000.png", noise("x"))
    found_here = [(p.severity, p.code, p.domain) for p in check_dataset(str(tmp_path)).problems]
    assert found_here == [("fatal", "incomplete_domain", "b"), ("warning", "images_left_out", "extra")]
