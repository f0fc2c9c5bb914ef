"""Metrics of one scored domain: image and pixel AUROC, AUPRO, F1-max, and how sure they are."""

# N images, S pixels a side, P normal images, A abnormal images, D bootstrap draws

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dgad.errors import TrainingError
from dgad.seeds import seed_for

Floats = NDArray[np.floating]
_Maps = Floats | Sequence[Floats]
"""One map per mask, of the mask's shape; higher is more anomalous."""
_Scored = Sequence[NDArray[np.bool_] | None]
"""Which pixels of each map are scored, None: all; empty: all of all."""
_Labels = NDArray[np.integer] | NDArray[np.bool_] | Sequence[int]
_EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """What one method reached on one domain; None where a metric does not apply."""

    image_auroc: float | None = None
    image_auroc_low: float | None = None
    image_auroc_high: float | None = None
    f1_max: float | None = None
    pixel_auroc: float | None = None
    aupro: float | None = None


def compute_metrics(
    labels: _Labels,
    scores: Floats | Sequence[float],
    masks: Sequence[NDArray[np.bool_] | None] | None,
    maps: _Maps | None,
    *,
    seed: int,
    scored: _Scored = (),
) -> Metrics:
    """All metrics of N images; `masks` N times (h_i, w_i) or None, `maps` N times (h_i, w_i).

    An image whose mask is None is left out of the pixel metrics only. `scored` says which cells of each map
    lie in its region of interest, None: all; the others are left out. Empty: all of all.
    """
    between = bootstrap_interval(labels, scores, seed=seed)
    pixel: tuple[float | None, float | None] = (None, None)
    if masks is not None and maps is not None:
        known = [mask for mask in masks if mask is not None]
        kept = [map_ for mask, map_ in zip(masks, maps, strict=True) if mask is not None]
        inside = [own for mask, own in zip(masks, scored, strict=True) if mask is not None] if scored else ()
        pixel = (pixel_auroc(known, kept, scored=inside), aupro(known, kept, scored=inside))
    return Metrics(
        image_auroc=image_auroc(labels, scores),
        image_auroc_low=None if between is None else between[0],
        image_auroc_high=None if between is None else between[1],
        f1_max=f1_max(labels, scores),
        pixel_auroc=pixel[0],
        aupro=pixel[1],
    )


def image_auroc(labels: _Labels, scores: Floats | Sequence[float]) -> float | None:
    """Probability that an abnormal image scores above a normal one, ties counting half.

    None where there is one class only.
    """
    label_N, score_N = _checked(labels, scores)
    if label_N.all() or not label_N.any():
        return None
    from sklearn.metrics import roc_auc_score  # takes seconds to import, and reading records needs none

    return float(roc_auc_score(label_N, score_N))


def f1_max(labels: _Labels, scores: Floats | Sequence[float]) -> float | None:
    """Best F1 of "abnormal" over all thresholds; None for one class."""
    best = _best_f1(labels, scores)
    return None if best is None else best[0]


def f1_threshold(labels: _Labels, scores: Floats | Sequence[float]) -> float | None:
    """The threshold of `f1_max`: images that score at least this much are flagged; None for one class."""
    best = _best_f1(labels, scores)
    return None if best is None else best[1]


def _best_f1(labels: _Labels, scores: Floats | Sequence[float]) -> tuple[float, float] | None:
    label_N, score_N = _checked(labels, scores)
    if label_N.all() or not label_N.any():
        return None
    order = np.argsort(-score_N, kind="stable")
    last_of_ties = np.append(np.diff(score_N[order]) != 0, True)
    hits = np.cumsum(label_N[order])[last_of_ties]
    flagged = np.arange(1, len(order) + 1)[last_of_ties]
    f1 = 2 * hits / (flagged + label_N.sum())
    best = int(np.argmax(f1))
    return float(f1[best]), float(score_N[order][last_of_ties][best])


def pixel_auroc(masks: Sequence[NDArray[np.bool_]], maps: _Maps, *, scored: _Scored = ()) -> float | None:
    """AUROC over all scored pixels of all images; None without a normal or without a defect pixel."""
    ranks = _rank_defect_pixels(masks, maps, scored)
    if ranks is None:
        return None
    lost = ranks.above + 0.5 * ranks.equal
    return float(1.0 - (lost * ranks.num_pixels).sum() / ranks.num_pixels.sum() / ranks.num_normal)


def aupro(
    masks: Sequence[NDArray[np.bool_]], maps: _Maps, max_fpr: float = 0.3, *, scored: _Scored = ()
) -> float | None:
    """Per-region overlap, mean over 8-connected defects, integrated to `max_fpr` and divided by it.

    Bergmann et al., "The MVTec Anomaly Detection Dataset" (IJCV 2021). In [0, 1]; None without a
    defect or without a normal pixel.
    """
    ranks = _rank_defect_pixels(masks, maps, scored)
    if ranks is None:
        return None
    # At its threshold a defect pixel lifts the curve by its share, linearly from `start` to `stop`
    # (they differ where normal pixels tie with it), and the area beyond lies under it.
    start, stop = ranks.above / ranks.num_normal, (ranks.above + ranks.equal) / ranks.num_normal
    whole = max_fpr - (start + stop) / 2
    cut = (max_fpr - start) ** 2 / (2 * np.maximum(stop - start, 1e-300))
    area = np.where(stop <= max_fpr, whole, np.where(start < max_fpr, cut, 0.0))
    return float((ranks.share * area).sum() / ranks.share.sum() / max_fpr)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _DefectRanks:
    """Every distinct score that defect pixels have, in rising order (T,), and the normals around it."""

    num_pixels: NDArray[np.int64]
    """Defect pixels with that score."""
    share: NDArray[np.float64]
    """Sum over them of 1 / (size of the pixel's defect): adds up to the number of defects."""
    above: NDArray[np.int64]
    """Normal pixels that score higher."""
    equal: NDArray[np.int64]
    num_normal: int


def _rank_defect_pixels(
    masks: Sequence[NDArray[np.bool_]], maps: _Maps, scored: _Scored
) -> _DefectRanks | None:
    """Rank defect against normal pixels, image by image: memory grows with the defect pixels only."""
    if len(masks) != len(maps):
        raise ValueError(f"there must be one map per mask, but got {len(maps)} and {len(masks)}")
    insides = scored or [None] * len(masks)
    defect_scores, defect_shares = [], []
    for mask, map_, inside in zip(masks, maps, insides, strict=True):
        if np.shape(mask) != np.shape(map_):
            raise ValueError(f"a map must have the shape of its mask, {np.shape(mask)}, got {np.shape(map_)}")
        if not np.isfinite(map_ if inside is None else np.asarray(map_)[inside]).all():
            raise TrainingError("A pixel map is not finite, so it cannot be evaluated.")
        region, _ = ndimage.label(mask if inside is None else mask & inside, structure=_EIGHT_CONNECTED)
        region_D = region[region > 0]
        defect_scores.append(np.asarray(map_)[region > 0])
        defect_shares.append(1.0 / np.bincount(region_D)[region_D])
    if not defect_scores or sum(map(len, defect_scores)) == 0:
        return None
    score_T, which = np.unique(np.concatenate(defect_scores), return_inverse=True)
    num_slots = len(score_T) + 1
    reached = np.zeros(num_slots, dtype=np.int64)  # normal pixels by the first score t at or above theirs
    passed = np.zeros(num_slots, dtype=np.int64)  # and by the first above theirs
    for mask, map_, inside in zip(masks, maps, insides, strict=True):
        is_normal = ~np.asarray(mask, dtype=bool)
        normal = np.sort(
            np.asarray(map_)[is_normal if inside is None else is_normal & inside]
        )  # sorted: searches stay in cache
        reached += np.bincount(np.searchsorted(score_T, normal, side="left"), minlength=num_slots)
        passed += np.bincount(np.searchsorted(score_T, normal, side="right"), minlength=num_slots)
    num_normal = int(reached.sum())
    if num_normal == 0:
        return None
    at_or_below, below = np.cumsum(reached)[:-1], np.cumsum(passed)[:-1]
    return _DefectRanks(
        num_pixels=np.bincount(which),
        share=np.bincount(which, weights=np.concatenate(defect_shares)).astype(np.float64),
        above=num_normal - at_or_below,
        equal=at_or_below - below,
        num_normal=num_normal,
    )


def bootstrap_aurocs(
    labels: _Labels, scores: Floats | Sequence[float], *, seed: int, num_draws: int = 1000
) -> NDArray[np.float64] | None:
    """Image AUROC of `num_draws` resamples (D,), normal and abnormal images drawn apart; None for one class.

    Equal seeds and labels draw equal images, so that draws of two methods can be subtracted. It knows
    nothing of other seeds, references or domains.
    """
    label_N, score_N = _checked(labels, scores)
    if label_N.all() or not label_N.any():
        return None
    return _resampled_aurocs(label_N, score_N, *_draws(label_N, seed, num_draws))


def bootstrap_interval(
    labels: _Labels,
    scores: Floats | Sequence[float],
    *,
    seed: int,
    num_draws: int = 1000,
    level: float = 0.95,
) -> tuple[float, float] | None:
    """Percentile interval of the image AUROC over resampled images; None for one class."""
    auroc_D = bootstrap_aurocs(labels, scores, seed=seed, num_draws=num_draws)
    return None if auroc_D is None else central_interval(auroc_D, level)


def paired_bootstrap_difference(
    labels: _Labels,
    scores_a: Floats | Sequence[float],
    scores_b: Floats | Sequence[float],
    *,
    seed: int,
    num_draws: int = 1000,
    level: float = 0.95,
) -> tuple[float, float, float] | None:
    """(difference, low, high) of AUROC a minus AUROC b on the same images, resampled together.

    None for one class.
    """
    auroc_a, auroc_b = image_auroc(labels, scores_a), image_auroc(labels, scores_b)
    auroc_a_D = bootstrap_aurocs(labels, scores_a, seed=seed, num_draws=num_draws)
    auroc_b_D = bootstrap_aurocs(labels, scores_b, seed=seed, num_draws=num_draws)
    if auroc_a is None or auroc_b is None or auroc_a_D is None or auroc_b_D is None:
        return None
    return auroc_a - auroc_b, *central_interval(auroc_a_D - auroc_b_D, level)


def central_interval(values_D: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """The middle `level` of the draws."""
    low, high = np.quantile(values_D, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _checked(
    labels: _Labels, scores: Floats | Sequence[float]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    label_N = np.asarray(labels).astype(bool).reshape(-1)
    score_N = np.asarray(scores, dtype=np.float64).reshape(-1)
    if label_N.shape != score_N.shape:
        raise ValueError(f"there must be one score per label, but got {score_N.size} and {label_N.size}")
    if not np.isfinite(score_N).all():
        raise TrainingError("An image score is not finite, so it cannot be evaluated.")
    return label_N, score_N


def _draws(label_N: NDArray[np.bool_], seed: int, num_draws: int) -> tuple[Floats, Floats]:
    """How often each normal (D, P) and each abnormal image (D, A) is drawn."""
    generator = np.random.default_rng(seed_for(seed, "bootstrap"))
    num_abnormal = int(label_N.sum())
    num_normal = len(label_N) - num_abnormal
    counts = [
        generator.multinomial(n, np.full(n, 1.0 / n), size=num_draws).astype(np.float32)
        for n in (num_normal, num_abnormal)
    ]
    return counts[0], counts[1]


def _resampled_aurocs(
    label_N: NDArray[np.bool_], score_N: NDArray[np.float64], normal_DP: Floats, abnormal_DA: Floats
) -> NDArray[np.float64]:
    """AUROC of every draw (D,): the comparison matrix (0, 1/2 or 1) between drawn images, averaged."""
    normal_P, abnormal_A = score_N[~label_N], score_N[label_N]
    above = abnormal_A[:, None] > normal_P[None, :]
    equal = abnormal_A[:, None] == normal_P[None, :]
    win_AP = above.astype(np.float32) + np.float32(0.5) * equal.astype(np.float32)
    won_D = ((abnormal_DA @ win_AP) * normal_DP).sum(axis=1, dtype=np.float64)
    result: NDArray[np.float64] = won_D / (len(normal_P) * len(abnormal_A))
    return result
