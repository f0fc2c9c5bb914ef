"""What is decoded of a source: masks where a part of an abnormal image may be normal."""

from pathlib import Path

import numpy as np
import pytest

from dgad.domains import open_dataset
from dgad.domains.geometry import Geometry
from dgad.training.source_tiles import cut_sources
from dgad.training.sources import load_source
from dgad.training.tiles import tile_side_px
from tests.dgad.domains.trees import mvtec_tree, save


@pytest.mark.parametrize(("scale", "cut"), [("squash 64", False), ("4", True)])
def test_masks_are_read_where_photographs_are_cut(tmp_path: Path, scale: str, cut: bool) -> None:
    geometry = Geometry(scale=scale, tile_px=64)  # 24 x 20 px photographs, 96 x 80 at four times
    tree = mvtec_tree(tmp_path, "Alpha")
    marked = np.zeros((24, 20), dtype=np.uint8)
    marked[1, 1] = 255
    for path in (tree / "Alpha" / "ground_truth").rglob("*.png"):
        save(path, marked)
    source = load_source(open_dataset(str(tree)).domain("Alpha"), geometry)
    assert source.labels.tolist() == [0, 0, 0, 1, 1]
    assert [m is not None for m in source.masks] == ([False] * 3 + [True] * 2 if cut else [])
    (tiles,) = cut_sources([source], tile_side_px(geometry))
    if cut:
        # The defect is at 4 to 8 px down and across: in the upper left tile, and no other.
        assert tiles.labels.tolist() == [0] * 12 + [1, 0, 0, 0] * 2
    else:
        assert tiles.labels.tolist() == source.labels.tolist()
