"""Metrics against scikit-learn and against plain loops."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import f1_score, roc_auc_score

from dgad.errors import TrainingError
from dgad.evaluation.metrics import (
    Metrics,
    aupro,
    bootstrap_interval,
    compute_metrics,
    f1_max,
    image_auroc,
    paired_bootstrap_difference,
    pixel_auroc,
)


def _surface(seed, num_images=4, size=12, levels=None):
    """Random masks with several defects each (one image normal) and maps that half follow them."""
    generator = np.random.default_rng(seed)
    masks = ndimage.uniform_filter(generator.normal(size=(num_images, size, size)), (0, 3, 3)) > 0.45
    masks[0] = False
    maps = masks * 0.8 + generator.normal(size=masks.shape)
    if levels is not None:
        maps = np.round(maps * levels) / levels
    return list(masks), maps.astype(np.float32)


def _aupro_by_loops(masks, maps, max_fpr):
    """One pass over all images per threshold, straight from the definition."""
    regions = []
    for i, mask in enumerate(masks):
        labelled, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(i, labelled == k) for k in range(1, count + 1)]
    normal = [~mask for mask in masks]
    num_normal = sum(n.sum() for n in normal)
    fprs, overlaps = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        flagged = maps >= threshold
        fprs.append(sum((flagged[i] & n).sum() for i, n in enumerate(normal)) / num_normal)
        overlaps.append(np.mean([flagged[i][region].mean() for i, region in regions]))
    area = 0.0
    for x0, x1, y0, y1 in zip(fprs, fprs[1:], overlaps, overlaps[1:], strict=False):
        if x0 >= max_fpr:
            break
        if x1 > max_fpr:
            x1, y1 = max_fpr, y0 + (y1 - y0) * (max_fpr - x0) / (x1 - x0)
        area += (x1 - x0) * (y0 + y1) / 2
    return area / max_fpr


@pytest.mark.parametrize("levels", [None, 4, 1], ids=["no ties", "ties", "nearly all tied"])
@pytest.mark.parametrize("max_fpr", [0.3, 0.05, 1.0])
def test_aupro_equals_the_definition(levels, max_fpr):
    for seed in range(4):
        masks, maps = _surface(seed, levels=levels)
        assert aupro(masks, maps, max_fpr) == pytest.approx(_aupro_by_loops(masks, maps, max_fpr), abs=1e-12)


def test_aupro_weighs_defects_not_pixels():
    mask = np.zeros((20, 20), dtype=bool)
    mask[:10, :10] = True
    mask[15, 15] = True
    found_large = mask.copy()
    found_large[15, 15] = False
    assert aupro([mask], found_large[None].astype(float), 0.3) == pytest.approx(0.5 + 0.5 * 0.15, abs=1e-9)
    assert aupro([mask], mask[None].astype(float), 0.3) == pytest.approx(1.0)


def test_aupro_joins_pixels_that_touch_at_a_corner():
    # As one defect of two pixels half is found; as two defects the mean is the same, so weigh a third one.
    mask = np.zeros((9, 9), dtype=bool)
    mask[0, 0] = mask[1, 1] = mask[6, 6] = True
    found = np.zeros((9, 9))
    found[6, 6] = 2.0
    normals_at_once = 0.15  # the linear rise of everything that ties at 0
    assert aupro([mask], found[None], 0.3) == pytest.approx(0.5 + 0.5 * normals_at_once)


@pytest.mark.parametrize("levels", [None, 2])
def test_pixel_auroc_equals_scikit_learn(levels):
    masks, maps = _surface(3, levels=levels)
    assert pixel_auroc(masks, maps) == pytest.approx(
        roc_auc_score(np.ravel(masks), np.ravel(maps)), abs=1e-12
    )


def test_pixel_metrics_take_images_of_several_sizes():
    masks, maps = _surface(1)
    cut = [*masks[:-1], masks[-1][:7]], [*maps[:-1], maps[-1][:7]]
    assert pixel_auroc(*cut) == pytest.approx(
        roc_auc_score(
            np.concatenate([m.ravel() for m in cut[0]]), np.concatenate([m.ravel() for m in cut[1]])
        )
    )


def test_pixel_metrics_are_none_without_defects_or_without_normals():
    maps = np.random.default_rng(0).normal(size=(2, 5, 5))
    for masks in (np.zeros((2, 5, 5), bool), np.ones((2, 5, 5), bool)):
        assert aupro(list(masks), maps) is None
        assert pixel_auroc(list(masks), maps) is None
    assert aupro([], []) is None


def test_f1_max_equals_trying_every_threshold():
    generator = np.random.default_rng(5)
    for _ in range(5):
        labels = generator.integers(0, 2, size=30)
        scores = np.round(generator.normal(size=30) + labels, 1)
        best = max(f1_score(labels, scores >= t) for t in np.unique(scores))
        assert f1_max(labels, scores) == pytest.approx(best)


def test_one_class_has_no_metric():
    for labels in ([0, 0, 0], [1, 1, 1], []):
        scores = np.arange(len(labels), dtype=float)
        assert image_auroc(labels, scores) is None
        assert f1_max(labels, scores) is None
        assert bootstrap_interval(labels, scores, seed=0) is None
        assert paired_bootstrap_difference(labels, scores, scores, seed=0) is None


def test_bootstrap_equals_resampling_images_by_hand():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], [12, 20])
    scores = np.round(generator.normal(size=32) + 0.8 * labels, 1)
    draws = []
    for _ in range(1000):
        index = np.concatenate([generator.integers(0, 12, 12), 12 + generator.integers(0, 20, 20)])
        draws.append(roc_auc_score(labels[index], scores[index]))
    interval = bootstrap_interval(labels, scores, seed=1, num_draws=4000)
    assert interval == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.02)


def test_bootstrap_is_seeded_and_holds_the_auroc():
    labels = np.repeat([0, 1], 40)
    scores = np.random.default_rng(2).normal(size=80) + labels
    first, again = (bootstrap_interval(labels, scores, seed=3) for _ in range(2))
    assert first == again
    assert first != bootstrap_interval(labels, scores, seed=4)
    assert first[0] < image_auroc(labels, scores) < first[1]


def test_a_paired_difference_is_narrower_than_two_intervals():
    generator = np.random.default_rng(6)
    labels = np.repeat([0, 1], 50)
    shared = generator.normal(size=100) + labels
    a = shared + 0.1 * generator.normal(size=100)
    b = shared + 0.1 * generator.normal(size=100)
    difference, low, high = paired_bootstrap_difference(labels, a, b, seed=0)
    assert difference == pytest.approx(image_auroc(labels, a) - image_auroc(labels, b))
    assert low <= difference <= high
    alone = bootstrap_interval(labels, a, seed=0)
    assert high - low < (alone[1] - alone[0]) / 2
    assert paired_bootstrap_difference(labels, a, a, seed=0) == (0.0, 0.0, 0.0)


def test_compute_metrics_leaves_unmasked_images_out_of_pixel_metrics_only():
    masks, maps = _surface(4)
    labels, scores = [0, 1, 1, 1], [0.1, 0.2, 0.0, 0.9]
    partly = [masks[0], masks[1], None, masks[3]]
    metrics = compute_metrics(labels, scores, partly, maps, seed=0)
    assert metrics.image_auroc == pytest.approx(2 / 3)
    assert metrics.pixel_auroc == pixel_auroc([masks[i] for i in (0, 1, 3)], maps[[0, 1, 3]])
    assert metrics.aupro == aupro([masks[i] for i in (0, 1, 3)], maps[[0, 1, 3]])
    assert metrics.image_auroc_low <= metrics.image_auroc <= metrics.image_auroc_high


@pytest.mark.parametrize("without", ["masks", "maps", "all masks unknown"])
def test_what_does_not_apply_is_none(without):
    masks, maps = _surface(4)
    if without == "masks":
        masks = None
    elif without == "maps":
        maps = None
    else:
        masks = [None] * len(masks)
    metrics = compute_metrics([0, 1, 1, 1], [0.0, 1.0, 2.0, 3.0], masks, maps, seed=0)
    assert (metrics.pixel_auroc, metrics.aupro) == (None, None)
    assert metrics.image_auroc == 1.0
    assert compute_metrics([0, 0], [0.0, 1.0], None, None, seed=0) == Metrics()


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(TrainingError, match="not finite"):
        image_auroc([0, 1], [0.0, float("nan")])
    with pytest.raises(TrainingError, match="not finite"):
        pixel_auroc([np.eye(3, dtype=bool)], np.full((1, 3, 3), np.inf))
