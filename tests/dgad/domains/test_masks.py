"""Masks: which one is an image's, and those that do not look like masks."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dgad.domains import open_dataset
from dgad.domains.checks import check_dataset, check_listing
from dgad.errors import DataWarning

from .trees import mask, mvtec_domain, noise, save


def codes(root: Path) -> list[tuple[str, str, str]]:
    return [(p.severity, p.code, Path(p.path).name) for p in check_dataset(root).problems]


def masks_of(root: Path) -> dict[str, str | None]:
    tests = open_dataset(root).domain("a").tests
    return {Path(s.image.path).name: Path(s.mask.path).name if s.mask else None for s in tests if s.label}


@pytest.mark.parametrize("ending", [".png", ".bmp"])
def test_a_photograph_beside_its_mask_is_not_the_mask(tmp_path: Path, ending: str) -> None:
    folder = mvtec_domain(tmp_path, "a") / "ground_truth/scratch"
    save(folder / f"000{ending}", noise("photograph"))
    assert masks_of(tmp_path) == {"000.png": "000_mask.png", "001.png": "001_mask.png"}
    assert codes(tmp_path) == [("note", "mask_set_aside", f"000{ending}")]


def test_masks_beside_the_photographs_do_not_pass_for_photographs_without_a_word(tmp_path: Path) -> None:
    folder = mvtec_domain(tmp_path, "a")
    (folder / "ground_truth/scratch/000_mask.png").rename(folder / "test/scratch/000_mask.png")
    (told,) = [p.message for p in check_dataset(tmp_path).problems if p.code == "mask_beside_image"]
    assert "counts 1 files of `scratch` as photographs that are called masks, such as 000_mask.png" in told
    assert "move them to ground_truth/scratch" in told


def test_two_masks_of_one_image_are_none(tmp_path: Path) -> None:
    folder = mvtec_domain(tmp_path, "a") / "ground_truth/scratch"
    save(folder / "000_mask.bmp", mask())
    assert masks_of(tmp_path) == {"000.png": None, "001.png": "001_mask.png"}
    assert [c for c in codes(tmp_path) if c[1] == "ambiguous_mask"] == [
        ("warning", "ambiguous_mask", "000_mask.bmp"),
        ("warning", "ambiguous_mask", "000_mask.png"),
    ]


def test_one_mask_of_two_images_is_neithers(tmp_path: Path) -> None:
    folder = mvtec_domain(tmp_path, "a")
    Image.fromarray(noise("other")).save(folder / "test/scratch/000.jpg")
    assert masks_of(tmp_path) == {"000.jpg": None, "000.png": None, "001.png": "001_mask.png"}
    (told,) = [p.message for p in check_dataset(tmp_path).problems if p.code == "ambiguous_mask"]
    assert "could be the mask of 000.jpg or 000.png, so it is taken for none" in told
    assert "call the mask 000.jpg_mask.png" in told
    (folder / "ground_truth/scratch/000_mask.png").rename(folder / "ground_truth/scratch/000.jpg_mask.png")
    assert masks_of(tmp_path) == {"000.jpg": "000.jpg_mask.png", "000.png": None, "001.png": "001_mask.png"}


def test_an_inverted_mask_is_doubted(tmp_path: Path) -> None:
    folder = mvtec_domain(tmp_path, "a") / "ground_truth/scratch"
    save(folder / "000_mask.png", 255 - mask())
    assert codes(tmp_path) == [("warning", "mask_marks_most", "000_mask.png")]
    (told,) = check_dataset(tmp_path).problems
    assert "marks 97% of the image; where its black is the defect, invert it" in told.message


def test_what_jpeg_leaves_in_a_mask_is_doubted(tmp_path: Path) -> None:
    folder = mvtec_domain(tmp_path, "a") / "ground_truth/scratch"
    Image.fromarray(mask()).save(tmp_path / "m.jpg", quality=60)
    noisy = np.asarray(Image.open(tmp_path / "m.jpg"))
    assert (noisy > 0).sum() > 2 * (mask() > 0).sum(), "the noise would count as defect"
    (tmp_path / "m.jpg").unlink()
    save(folder / "000_mask.png", noisy)
    assert codes(tmp_path)[0] == ("warning", "grey_mask", "000_mask.png")
    Image.fromarray(mask()).save(
        folder / "000_mask.jpg"
    )  # as JPEG it is read by half of white: nothing to doubt
    (folder / "000_mask.png").unlink()
    (folder / "001_mask.png").unlink()
    assert [c for c in codes(tmp_path) if c[1] == "grey_mask"] == []


def test_a_photograph_as_a_mask_is_doubted(tmp_path: Path) -> None:
    folder = mvtec_domain(tmp_path, "a") / "ground_truth/scratch"
    (folder / "000_mask.png").unlink()
    Image.fromarray(noise("photograph")).save(folder / "000_mask.jpg")
    assert ("warning", "grey_mask", "000_mask.jpg") in codes(tmp_path)


def test_a_mask_of_another_kind_than_the_others_is_told(tmp_path: Path) -> None:
    folder = mvtec_domain(tmp_path, "a")
    save(folder / "test/scratch/002.png", noise("third"))
    save(folder / "ground_truth/scratch/002.png", np.stack([mask(), mask() // 2, mask()], axis=2))
    (told,) = check_dataset(tmp_path).problems
    assert (told.code, Path(told.path).name) == ("odd_mask", "002.png")
    assert told.message == (
        "is in colour, where 2 of the domain's 3 masks are in black and white, named `..._mask`"
    )


def test_an_evaluation_tells_of_masks_that_do_not_look_like_masks(tmp_path: Path) -> None:
    folder = mvtec_domain(tmp_path, "a") / "ground_truth/scratch"
    save(folder / "000_mask.png", 255 - mask())
    (folder / "001_mask.png").write_bytes(b"no image")
    with pytest.warns(DataWarning, match=r"000_mask.png is a mask that marks 97%") as told:
        check_listing(open_dataset(tmp_path), with_masks=True)
    assert len(told) == 1
