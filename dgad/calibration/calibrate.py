"""References enrolled together with the calibration that makes a threshold of them."""

import torch

from dgad.calibration.left_out_scores import LeftOut, score_left_out, summarise_left_out
from dgad.calibration.reference_coreset import choose_covering_references
from dgad.calibration.threshold import Calibration, CalibrationScheme, Guarantee, Scheme, sort_scores
from dgad.domains.image_set import ImageSet
from dgad.methods.base import Enrolled, Method, check_references
from dgad.methods.order import content_order

_MAX_LEAVE_ONE_OUT = 50
"""With more references, folds: every round enrols anew, and 50 rounds of the comparer at 128 px take two
minutes of a core where 10 take half of one."""
_NUM_FOLDS = 10


def calibrate(
    method: Method, references: ImageSet, *, scheme: CalibrationScheme, coreset: int | None
) -> tuple[Enrolled, Calibration]:
    """What queries are compared with, and scores of references that were not among what they met.

    The order of the references does not matter. `split` holds a seeded half back, which is compared with
    nothing but only scored: the guarantee is exact, where near duplicates do not lie on both sides.
    `leave_one_out` compares with all, scores each against the others, enrolled anew (in 10 folds above 50
    references), and is approximate: a query meets one reference more. With one reference nothing can be
    left out.

    `coreset` bounds what queries are compared with to that many references, chosen to cover the others
    (`split`: of the half that is compared with, never looking at the other). The calibration by leaving out
    is then over the chosen ones, which differ from each other more than from a usual query: it errs towards
    fewer false alarms.
    """
    check_references(references)
    ordered = references.take(content_order(references))
    method.prepare(ordered)
    compared, held_back = _halves(len(ordered)) if scheme == "split" else (list(range(len(ordered))), [])
    chosen = ordered.take(compared)
    if coreset is not None and coreset < len(chosen):
        chosen = chosen.take(choose_covering_references(method, chosen, coreset))
    enrolled = method.enroll(chosen)
    if held_back:
        found = summarise_left_out(iter([method.score(ordered.take(held_back), enrolled)]))
        return enrolled, _calibration(found, "split", "exact", len(chosen))
    if len(chosen) == 1:
        return enrolled, _uncalibrated(method, chosen, enrolled)
    is_small = len(chosen) <= _MAX_LEAVE_ONE_OUT
    found = score_left_out(method, chosen, len(chosen) if is_small else _NUM_FOLDS)
    return enrolled, _calibration(
        found, "leave_one_out" if is_small else "k_fold", "approximate", len(chosen)
    )


def _halves(count: int) -> tuple[list[int], list[int]]:
    """(compared, held back) of images in the order of their content: the draw ignores what they show."""
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(0)).tolist()
    num_compared = count - count // 2
    return sorted(drawn[:num_compared]), sorted(drawn[num_compared:])


def _calibration(found: LeftOut, scheme: Scheme, guarantee: Guarantee, num_compared: int) -> Calibration:
    return Calibration(
        scores=sort_scores(found.scores),
        scheme=scheme,
        guarantee=guarantee,
        num_compared=num_compared,
        map_low=found.map_low,
        map_high=found.map_high,
        map_limit=found.map_limit,
    )


def _uncalibrated(method: Method, reference: ImageSet, enrolled: Enrolled) -> Calibration:
    """No score; the scale of heatmaps is guessed from the one reference mirrored, and no region is marked."""
    mirrored = ImageSet(images=[image.flip(-1) for image in reference.images])
    guessed = summarise_left_out(iter([method.score(mirrored, enrolled)]))
    return Calibration(
        scores=sort_scores(()),
        scheme="none",
        guarantee="none",
        num_compared=1,
        map_low=guessed.map_low,
        map_high=guessed.map_high,
        map_limit=float("inf"),
    )
