"""Sizes of photographs and defects, what a scale makes of them, and what is warned of."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dgad.domains import open_dataset
from dgad.domains.checks import check_dataset
from dgad.domains.checks.sizes import measure_sample
from dgad.domains.geometry import Geometry
from dgad.domains.region import RegionOfInterest
from tests.dgad.domains.trees import mvtec_domain, noise, save


def large_domain(root: Path, defect_px: int) -> Path:
    """Photographs of 200 x 100 and of 400 x 300 px, the larger ones with a square defect."""
    folder = root / "steel"
    for i in range(2):
        save(folder / "train" / "good" / f"{i}.png", noise(f"train{i}", (100, 200)))
        save(folder / "test" / "cut" / f"{i}.png", noise(f"cut{i}", (300, 400)))
        mask = np.zeros((300, 400), np.uint8)
        mask[40 : 40 + defect_px, 300 : 300 + defect_px] = 255
        save(folder / "ground_truth" / "cut" / f"{i}_mask.png", mask)
    save(folder / "test" / "good" / "0.png", noise("good", (100, 200)))
    return root


def codes(root: Path, scale: str) -> list[str]:
    return [p.code for p in check_dataset(root, geometry=Geometry(scale=scale)).problems]


def test_sizes_are_of_the_smallest_and_the_largest_photograph_and_of_the_scale(tmp_path: Path) -> None:
    (found,) = check_dataset(large_domain(tmp_path, 10), geometry=Geometry(scale="fit 100")).domains
    sizes = found.sizes
    assert sizes is not None
    assert (sizes.smallest, sizes.largest) == ((200, 100), (400, 300))
    assert (sizes.scale, sizes.scaled_smallest, sizes.scaled_largest) == ("fit 100", (100, 50), (100, 75))
    assert (sizes.num_defects, sizes.defect_px, sizes.scaled_defect_px) == (2, 10.0, 2.5)


def test_defects_that_a_scale_loses_are_warned_of_with_a_scale_that_keeps_them(tmp_path: Path) -> None:
    root = large_domain(tmp_path, 10)
    found = check_dataset(root, geometry=Geometry(scale="fit 100"))
    (problem,) = [p for p in found.problems if p.code == "tiny_defects"]
    assert "a square of 2.5 px at the scale `fit 100`, under 4" in problem.message
    assert "`--scale 0.4` or more" in problem.message
    assert "tiny_defects" not in codes(root, "0.4")
    assert "tiny_defects" not in codes(root, "native")
    assert "tiny_defects" in codes(root, "squash 96")


def test_what_no_scale_shows_is_said_so(tmp_path: Path) -> None:
    root = large_domain(tmp_path, 3)
    (problem,) = [
        p for p in check_dataset(root, geometry=Geometry(scale="native")).problems if p.code == "tiny_defects"
    ]
    assert "no scale shows them: photograph the part from nearer" in problem.message


def test_a_thin_defect_counts_by_its_area_and_specks_of_one_mask_are_counted_apart(tmp_path: Path) -> None:
    sample = open_dataset(str(large_domain(tmp_path, 4))).domain("steel").tests[0]
    mask = np.zeros((300, 400), bool)
    mask[10, 0:100] = True
    mask[100:104, 100] = mask[104:108, 101] = True  # they touch by a corner: one defect
    mask[200, 200:206] = True  # a fragment
    assert measure_sample(sample, (300, 400), mask).defects_px == (10.0, pytest.approx(8**0.5))


def test_a_defect_outside_of_the_region_of_interest_is_warned_of(tmp_path: Path) -> None:
    sample = open_dataset(str(large_domain(tmp_path, 10))).domain("steel").tests[0]
    left = RegionOfInterest(polygons=(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)),))
    sample = dataclasses.replace(sample, image=dataclasses.replace(sample.image, region=left))
    mask = np.zeros((300, 400), bool)
    mask[0:10, 0:10] = mask[40:50, 300:310] = mask[80:90, 193:203] = True
    assert measure_sample(sample, (300, 400), mask).num_outside == 1, "the third lies mostly inside"


def test_the_region_of_a_domain_file_is_held_against_the_masks(tmp_path: Path) -> None:
    root = large_domain(tmp_path, 10)
    polygons = [[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]]
    (root / "steel" / "domain.json").write_text(f'{{"region": {{"polygons": {polygons}}}}}')
    found = [p for p in check_dataset(root).problems if p.code == "defect_outside_region"]
    assert [Path(p.path).name for p in found] == ["0_mask.png", "1_mask.png"]
    assert "has a defect outside of the domain's region of interest" in found[0].message


def test_a_domain_s_own_scale_goes_before_the_one_asked_for(tmp_path: Path) -> None:
    root = large_domain(tmp_path, 10)
    (root / "steel" / "domain.json").write_text('{"scale": "native"}')
    (found,) = check_dataset(root, geometry=Geometry(scale="fit 100")).domains
    assert found.sizes is not None
    assert (found.sizes.scale, found.sizes.scaled_defect_px) == ("native", 10.0)


def test_a_tree_without_masks_has_sizes_and_no_defects(tmp_path: Path) -> None:
    folder = mvtec_domain(tmp_path, "a")
    for path in (folder / "ground_truth" / "scratch").iterdir():
        path.unlink()
    (found,) = check_dataset(tmp_path).domains
    assert found.sizes is not None
    assert (found.sizes.num_defects, found.sizes.defect_px) == (0, None)
