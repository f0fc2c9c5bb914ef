"""The gallery shows what was found, what was missed, and the false alarms."""

import numpy as np
import torch

from dgad.domains.image_set import ImageSet
from dgad.evaluation.metrics import Metrics
from dgad.evaluation.scoring import TargetDomain, TargetScores
from dgad.report import examples
from dgad.report.examples import read_examples, write_examples
from dgad.storage import Storage


def scored(scores, labels, *, maps=True):
    """A target of 16 px images and what a method answered on it."""
    count = len(labels)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=generator)
    kinds = tuple("hole/deep" if label else "good" for label in labels)
    ids = tuple(f"tile/test/{k}/{i:03d}" for i, k in enumerate(kinds))
    target = TargetDomain(
        name="tile",
        normal_ids=("n",),
        normals=ImageSet(images=images[:1]),
        query_ids=ids,
        queries=ImageSet(images=images),
        kinds=kinds,
        labels=np.array(labels),
        masks=tuple(None if label else np.zeros((16, 16), bool) for label in labels),
    )
    pixel_maps = np.random.default_rng(0).random((count, 16, 16), dtype=np.float32) if maps else None
    answered = TargetScores(
        domain="tile",
        sample_ids=ids,
        kinds=kinds,
        labels=np.array(labels),
        image_scores=np.array(scores, dtype=np.float32),
        pixel_maps=pixel_maps,
        reference_ids=("n",),
        ms_per_image=1.0,
        enroll_s=0.1,
        metrics=Metrics(),
    )
    return target, answered


def test_the_chosen_pictures_are_the_best_the_median_and_the_worst(tmp_path):
    labels = [0] * 5 + [1] * 10
    scores = [3, 1, 9, 2, 0, *range(10, 20)]
    write_examples(Storage(tmp_path), *scored(scores, labels), label="comparer")
    captions = [e.caption for e in read_examples(tmp_path)["tile"]]
    roles = ("highest defect", "median defect", "lowest defect", "highest normal")
    assert [c.partition(":")[0] for c in captions] == [role for role in roles for _ in range(2)]
    for place, text in {
        0: "014; score 19, rank 1 of 15 (comparer)",
        1: "013; score 18, rank 2 of 15",
        2: "010; score 15, rank 5 of 15",  # of ten the fifth and the sixth are in the middle
        3: "009; score 14, rank 6 of 15",
        4: "005; score 10, rank 10 of 15",
        6: "002; score 9, rank 11 of 15",
    }.items():
        assert text in captions[place]


def test_few_pictures_are_not_shown_twice_and_old_ones_go(tmp_path):
    write_examples(Storage(tmp_path), *scored([1] * 15, [0] * 5 + [1] * 10), label="a")
    write_examples(Storage(tmp_path), *scored([1, 2], [0, 1], maps=False), label="b")
    captions = [e.caption for e in read_examples(tmp_path)["tile"]]
    assert [c.partition(":")[0] for c in captions] == ["highest defect", "highest normal"]
    assert all("(b)" in c for c in captions)
    assert len(list((tmp_path / "examples").iterdir())) == 1


def test_no_examples_is_an_empty_gallery(tmp_path):
    assert read_examples(tmp_path) == {}


def test_the_scale_of_pictures_knows_a_region_that_regular_steps_miss(monkeypatch) -> None:
    monkeypatch.setattr(examples, "_MAX_SCALED", 256)
    heat = np.full((64, 64), np.nan, dtype=np.float32)
    heat[:, 9:15] = np.arange(64)[:, None]  # 16 values are passed over from one that is looked at to the next
    low, high = examples._scale([heat])
    assert 25 < low < 38
    assert high > 55
