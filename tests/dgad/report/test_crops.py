"""Native crops: they show the photograph's own pixels where the map is highest and where the defect is."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dgad.domains import open_dataset
from dgad.domains.base import Sample
from dgad.domains.geometry import Geometry
from dgad.evaluation.metrics import Metrics
from dgad.evaluation.scoring import TargetDomain, TargetScores, load_target
from dgad.report import crops
from dgad.report.crops import CROP_PX, Crops, make_crops, read_photograph
from dgad.report.examples import read_examples, write_examples
from dgad.storage import Storage
from tests.dgad.domains.trees import noise, save
from tests.dgad.evaluation.test_heatmaps import decode

HEIGHT, WIDTH = 400, 900
DEFECT = (slice(300, 312), slice(700, 716))
"""Rows and columns."""


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """A photograph of 900 x 400 px with a defect of 16 x 12 px."""
    folder = tmp_path / "data" / "steel"
    for split, kind in (("train", "good"), ("test", "good"), ("test", "cut")):
        save(folder / split / kind / "0.png", noise(f"{split}{kind}", (HEIGHT, WIDTH)))
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[DEFECT] = 255
    save(folder / "ground_truth" / "cut" / "0_mask.png", mask)
    return next(s for s in open_dataset(str(tmp_path / "data")).domain("steel").tests if s.label)


def _crops(sample: Sample, heat: np.ndarray | None, *, low: float, high: float) -> Crops | None:
    photograph = read_photograph(sample)
    assert photograph is not None
    return make_crops(photograph, heat, low=low, high=high)


def panels(png: bytes) -> list[np.ndarray]:
    shown = decode(png)
    assert shown.shape[0] == CROP_PX
    step = CROP_PX + 4
    return [shown[:, i * step : i * step + CROP_PX] for i in range((shown.shape[1] + 4) // step)]


def test_the_crops_are_native_pixels_around_the_highest_score_and_around_the_defect(sample: Sample) -> None:
    heat = np.zeros((20, 45), np.float32)
    heat[5, 10] = 1.0  # pixels 100 to 120 down, 200 to 220 across
    found = _crops(sample, heat, low=0.0, high=1.0)
    assert found is not None
    assert found.told == (
        "native pixels around the highest score at 210, 110 and around the labelled defect at 708, 306"
    )
    plain, hot, defect, over_defect = panels(found.png)
    photograph = np.stack([noise("testcut", (HEIGHT, WIDTH))] * 3, axis=-1)
    np.testing.assert_array_equal(plain, photograph[22:198, 122:298])
    changed = np.abs(hot.astype(int) - plain.astype(int)).sum(axis=2) > 0
    rows, columns = np.nonzero(changed)
    assert changed[110 - 22, 210 - 122]
    assert 60 < rows.min() < rows.max() < 120, "the map lies where it belongs"
    assert 60 < columns.min() < columns.max() < 120
    # The defect lies by the right and the lower border, so the crop ends there.
    outline = np.abs(defect.astype(int) - photograph[218:394, 620:796].astype(int)).sum(axis=2) > 0
    rows, columns = np.nonzero(outline)
    assert (rows.min(), rows.max()) == (300 - 218 - 1, 312 - 218)
    assert (columns.min(), columns.max()) == (700 - 620 - 1, 716 - 620)
    np.testing.assert_array_equal(over_defect, photograph[218:394, 620:796])


def test_a_map_that_is_nowhere_scored_leaves_the_defect_alone(sample: Sample) -> None:
    found = _crops(sample, np.full((20, 45), np.nan, np.float32), low=0.0, high=1.0)
    assert found is not None
    assert found.told == "native pixels around the labelled defect at 708, 306"


def test_what_is_outside_of_a_region_of_interest_is_not_the_highest(sample: Sample) -> None:
    heat = np.full((20, 45), np.nan, np.float32)
    heat[2, 3], heat[10, 20] = 0.1, 0.2
    found = _crops(sample, heat, low=0.0, high=1.0)
    assert found is not None
    assert "the highest score at 410, 210" in found.told


def test_a_small_photograph_has_no_crops_and_neither_has_one_that_is_gone(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> bytes:
        raise OSError("gone")

    lost = dataclasses.replace(sample, image=dataclasses.replace(sample.image, read=gone))
    assert read_photograph(lost) is None
    monkeypatch.setattr(crops, "SHOWN_WHOLE_PX", 900)
    assert _crops(sample, None, low=0.0, high=1.0) is None


def test_the_gallery_has_a_whole_strip_of_bounded_size_and_its_crops_after_it(
    sample: Sample, tmp_path: Path
) -> None:
    domain = open_dataset(str(tmp_path / "data")).domain("steel")
    target = load_target(domain, Geometry(scale="native"))
    heat = np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    heat[101, 211] = 1.5  # among values that are shown as clear
    write_examples(
        Storage(tmp_path / "run"),
        target,
        _scores(target, heat),
        label="x",
        samples={s.id: s for s in domain.samples},
    )
    first, native, *others = read_examples(tmp_path / "run")["steel"]
    assert (len(others), native.path.stem) == (2, f"{first.path.stem}_native")
    assert decode(first.path.read_bytes()).shape[:2] == (213, 3 * 480 + 2 * 4)
    over = decode(first.path.read_bytes())[:, 2 * 484 :]
    hot = over[52:56, 110:115, :2].min(axis=2).max()
    assert hot > 0.85 * 250, "one hot pixel of 360,000 is as hot in the small picture"
    assert "the outline of its defect" in first.shows
    assert "at the photograph's own pixels" in native.shows
    assert native.caption.startswith(
        "highest defect: cut, 0; native pixels around the highest score at 211, "
    )


def _scores(target: TargetDomain, heat: np.ndarray) -> TargetScores:
    count = len(target.query_ids)
    return TargetScores(
        domain="steel",
        sample_ids=target.query_ids,
        kinds=target.kinds,
        labels=target.labels,
        image_scores=np.arange(count, dtype=np.float32),
        pixel_maps=(heat,) * count,
        reference_ids=(),
        ms_per_image=1.0,
        enroll_s=0.1,
        metrics=Metrics(),
    )
