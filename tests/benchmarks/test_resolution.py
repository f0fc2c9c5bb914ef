"""The benchmark of resolution: its tables over a tiny synthetic set, and what a defect's size is."""

from pathlib import Path

import numpy as np
import pytest
import resolution
import resolution_arms
from PIL import Image

_SIZE = 64


@pytest.fixture(scope="module")
def marked_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two surfaces of noise 96 x 64 px, defects of 4 and 12 px."""
    folder = tmp_path_factory.mktemp("marked")
    rng = np.random.default_rng(0)
    for domain in ("first", "second"):
        for split, kind, number in (("train", "good", 3), ("test", "good", 3), ("test", "spot", 4)):
            for index in range(number):
                pixels = rng.normal(128, 12, (_SIZE, 96)).clip(0, 255).astype(np.uint8)
                if kind == "spot":
                    side = 4 if index % 2 else 12
                    place = (slice(20, 20 + side), slice(30, 30 + side))
                    pixels[place] = 255
                    mask = np.zeros((_SIZE, 96), np.uint8)
                    mask[place] = 255
                    _save(mask, folder / domain / "ground_truth" / kind / f"{index:03d}_mask.png")
                _save(pixels, folder / domain / split / kind / f"{index:03d}.png")
    return folder


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_defects_are_told_apart_by_their_size(
    marked_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curve = tmp_path / "curve.csv"
    small = ["--methods", "patch_knn", "--weights", "none", "--num-references", "3", "--seeds", "0"]
    scales = ["--scales", "squash 64,native", "--bins", "4,8,16", "--curve", str(curve)]
    resolution.main(["defects", "--data", str(marked_data), *small, *scales])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["photographs", "8", "4", "4"] in rows
    native = [row for row in rows if row[:2] == ["patch_knn", "native"]]
    assert len(native) == 2  # AUROC and AUPRO
    assert all(0 <= float(cell) <= 1 for row in native for cell in row[2:])
    assert curve.read_text().startswith("method,scale,defect_px,auroc")


def test_a_scale_stands_beside_the_square(marked_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--weights", "none", "--num-references", "2", "--seeds", "0,1", "--num-defective", "3"]
    code = resolution.main(["surfaces", "--data", str(marked_data), "--scale", "fit 64", *options])
    printed = capsys.readouterr().out
    assert code in (0, 1)
    assert ("MISSED" in printed) == bool(code)
    (row,) = (line for line in printed.splitlines() if line.startswith("first"))
    assert "96 x 64" in row
    assert "64 x 43" in row


def test_the_share_of_an_abnormal_photograph_is_its_part_of_the_auroc(marked_data: Path) -> None:
    options = resolution.parse_options(["surfaces", "--data", str(marked_data)])
    (photographs, _) = resolution.opened(str(marked_data), options)
    scores = np.array([0.1, 0.5, 0.3, 0.5, 0.9, 0.2, 0.0], dtype=np.float32)
    outcome = resolution_arms.Outcome(scores=scores, maps=None, seconds=1.0)
    assert resolution_arms.shares(photographs, outcome) == pytest.approx([2.5 / 3, 1, 1 / 3, 0])
    assert np.isnan(photographs.defect_px[:3]).all()
    assert photographs.defect_px[3:].tolist() == [12, 4, 12, 4]
