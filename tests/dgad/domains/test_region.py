import io
import json

import numpy as np
import pytest
from PIL import Image

from dgad.domains import open_dataset
from dgad.domains.checks import check_dataset
from dgad.domains.domain_file import read_domain_file
from dgad.domains.geometry import Geometry
from dgad.domains.images import load_images
from dgad.domains.pack import pack
from dgad.domains.region import RegionOfInterest
from dgad.errors import DataError
from tests.dgad.domains.trees import mvtec_tree

TRIANGLE = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))


def test_a_cell_counts_where_its_centre_lies_inside() -> None:
    covered = RegionOfInterest(polygons=(TRIANGLE,)).covers(40, 60)
    y, x = (np.indices((40, 60)) + 0.5) / np.array([40, 60])[:, None, None]
    np.testing.assert_array_equal(covered, x + y < 1)


def test_polygons_are_joined_and_holes_are_not_filled() -> None:
    ring = ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9))
    box = ((0.0, 0.0), (0.05, 0.0), (0.05, 0.05), (0.0, 0.05))
    covered = RegionOfInterest(polygons=(ring, box)).covers(100, 100)
    assert covered[2, 2]
    assert covered[50, 50]
    assert not covered[7, 7]
    assert covered.sum() == 80 * 80 + 5 * 5


def test_a_mask_is_a_region_of_any_grid() -> None:
    mask = np.zeros((30, 60), dtype=bool)
    mask[:, 30:] = True
    region = RegionOfInterest.from_mask(mask)
    np.testing.assert_array_equal(region.covers(30, 60), mask)
    assert region.covers(7, 10)[:, 5:].all()
    assert not region.covers(7, 10)[:, :5].any()


@pytest.mark.parametrize("grid", [(1, 1), (3, 8), (8, 8), (301, 77)])
def test_the_smallest_region_has_a_cell_of_every_grid(grid: tuple[int, int]) -> None:
    dot = tuple((0.3 + x / 256, 0.8 + y / 256) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)))
    region = RegionOfInterest(polygons=(dot,))
    rows, columns = np.nonzero(region.counts(*grid))
    assert rows.tolist() == [int(0.802 * grid[0])]
    assert columns.tolist() == [int(0.302 * grid[1])]


@pytest.mark.parametrize("grid", [(5, 5), (24, 20), (600, 500)])
def test_what_is_covered_is_what_counts(grid: tuple[int, int]) -> None:
    region = RegionOfInterest(polygons=(TRIANGLE,))
    np.testing.assert_array_equal(region.counts(*grid), region.covers(*grid))


@pytest.mark.parametrize(
    "region", [RegionOfInterest(polygons=(TRIANGLE,)), RegionOfInterest.from_mask(np.eye(9) > 0)]
)
def test_json_brings_it_back(region: RegionOfInterest) -> None:
    assert RegionOfInterest.from_json(json.loads(json.dumps(region.to_json()))) == region


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (None, "must be"),
        ({"polygon": []}, "must be"),
        ({"polygons": []}, "either polygons or a mask"),
        ({"polygons": [[[0, 0], [1, 1]]]}, "at least 3 corners"),
        ({"polygons": [[[0, 0], [1, 1], [2, 0]]]}, "from 0 to 1"),
        ({"polygons": [[[0, 0], [1, 1], ["a", 0]]]}, r"list of corners \[x, y\]"),
        ({"polygons": [[[0, 0], [1, 1], [float("nan"), 0]]]}, "from 0 to 1"),
        ({"polygons": [[[0, 0], [0, 0], [0, 0]]]}, "covers nothing"),
        ({"polygons": [[[0, 0], [1, 0], [1, 1]]] * 65}, "at most 64 polygons"),
        ({"mask_png": "?"}, "in base64"),
        ({"mask_png": "aGVsbG8="}, "no PNG"),
    ],
)
def test_what_is_no_region_is_told(values: object, told: str) -> None:
    with pytest.raises(DataError, match=told):
        RegionOfInterest.from_json(values)


def test_a_domain_may_declare_scale_and_region_and_a_pack_keeps_them(tmp_path) -> None:
    root = mvtec_tree(tmp_path / "data", "a", "b")
    facts = {"scale": "0.5", "region": {"polygons": [TRIANGLE]}}
    (root / "a/domain.json").write_text(json.dumps(facts))
    tree = open_dataset(str(root))
    assert (tree.domain("a").scale, tree.domain("b").scale) == ("0.5", None)
    assert tree.domain("a").region == RegionOfInterest(polygons=(TRIANGLE,))
    packed = pack(str(root), str(tmp_path / "pack"))
    assert packed.domain("a").region == tree.domain("a").region
    assert packed.domain("a").scale == "0.5"
    assert packed.fingerprint() == tree.fingerprint()
    (root / "a/domain.json").unlink()
    assert open_dataset(str(root)).fingerprint() != tree.fingerprint()


def test_a_mask_file_is_the_region_and_may_not_stand_beside_another(tmp_path) -> None:
    png = io.BytesIO()
    Image.fromarray(np.array([[0, 255], [0, 255]], dtype=np.uint8)).save(png, "PNG")
    (tmp_path / "region.png").write_bytes(png.getvalue())
    facts, problems = read_domain_file(str(tmp_path))
    assert not problems
    assert facts.region is not None
    assert facts.region.covers(2, 2).tolist() == [[False, True], [False, True]]
    (tmp_path / "domain.json").write_text(json.dumps({"region": {"polygons": [TRIANGLE]}}))
    (problem,) = read_domain_file(str(tmp_path))[1]
    assert "remove one of them" in problem.message
    (tmp_path / "domain.json").write_text('{"scale": "big"}')
    assert "`scale` must be" in read_domain_file(str(tmp_path))[1][0].message


def test_a_mask_file_is_part_of_the_data_and_of_the_shape_of_its_photographs(tmp_path) -> None:
    root = mvtec_tree(tmp_path / "data", "a", "b")
    marked = np.zeros((12, 10), dtype=np.uint8)
    marked[:, 5:] = 255
    Image.fromarray(marked).save(root / "a/region.png")
    assert not [p for p in check_dataset(root).problems if p.path.endswith(("region.png", "/a"))]
    assert load_images(open_dataset(str(root)).domain("a").samples, Geometry()).region(0) is not None
    Image.fromarray(marked.T).save(root / "a/region.png")
    fatal = [p for p in check_dataset(root).problems if p.severity == "fatal"]
    assert {(p.code, p.domain) for p in fatal} == {("region_of_another_shape", "a")}
    assert "is 12 x 10 px, of another shape than the photograph's 20 x 24" in fatal[0].message
    with pytest.raises(DataError, match=r"000\.png: The mask of the region of interest is 12 x 10 px"):
        load_images(open_dataset(str(root)).domain("a").samples, Geometry())
