"""Masks that do not look like masks: inverted, noisy, a photograph, or of another kind than the others."""

# H x W pixels of the file, N different values in it

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from dgad.domains.decoding import MaskValues
from dgad.domains.problems import Problem

_MOST = 0.5
"""Share of an image from which on a mask is taken for an inverted one; defects of benchmarks stay below."""
_MANY_GREYS = 16
"""More than edges that were drawn smooth, or a few classes, come to where each has a value of its own."""
_MIDDLE_OF_JPEG = 0.1
"""Share of pixels that are neither dark nor bright: a JPEG of two colours has few, a photograph many."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MaskLook:
    """What a decoded mask looks like."""

    share: float
    """Of the image that it marks, 0 to 1."""
    num_greys: int
    """Different values of its pixels, each as bright as its brightest channel."""
    middle_share: float
    """Of the pixels that lie between a quarter and three quarters of the brightest."""
    is_jpeg: bool
    is_colour: bool


def look_at(mask: MaskValues) -> MaskLook:
    """What a decoded mask looks like."""
    pixels_HWC = mask.pixels.reshape(*mask.pixels.shape[:2], -1)
    values_HW = pixels_HWC.max(axis=2)
    if values_HW.dtype == np.uint8:
        counts_256 = np.bincount(values_HW.ravel(), minlength=256)
        values_N = np.flatnonzero(counts_256)
        counts_N = counts_256[values_N]
    else:
        values_N, counts_N = np.unique(values_HW.astype(np.float64), return_counts=True)
    part_N = values_N / max(float(values_N.max()), 1e-6)
    return MaskLook(
        share=float(mask.marked.mean()),
        num_greys=len(values_N),
        middle_share=float(counts_N[(part_N > 0.25) & (part_N < 0.75)].sum() / counts_N.sum()),
        is_jpeg=mask.is_jpeg,
        is_colour=bool((pixels_HWC != pixels_HWC[:, :, :1]).any()),
    )


def list_mask_problems(domain: str, looks: Mapping[str, MaskLook]) -> Iterator[Problem]:
    """Warnings of a domain's masks, by path, that mark something and do not look like masks."""
    marking = {path: look for path, look in looks.items() if look.share > 0}
    told = [(path, *doubt) for path, look in marking.items() for doubt in _doubts(look)]
    told += [(path, "odd_mask", message) for path, message in _odd_ones(marking)]
    for path, code, message in told:
        yield Problem(severity="warning", code=code, domain=domain, path=path, message=message)


def _doubts(look: MaskLook) -> Iterator[tuple[str, str]]:
    """(code, message) of what makes one mask look wrong."""
    is_noisy = look.middle_share > _MIDDLE_OF_JPEG if look.is_jpeg else look.num_greys > _MANY_GREYS
    if is_noisy:
        yield (
            "grey_mask",
            f"is a mask of {look.num_greys} grey values, like a photograph or what JPEG leaves; all that is"
            f" not {'dark' if look.is_jpeg else 'black'} counts as defect ({look.share:.0%} of the image):"
            " save it in black and white, as PNG",
        )
    if look.share > _MOST:
        yield (
            "mask_marks_most",
            f"is a mask that marks {look.share:.0%} of the image; where its black is the defect, invert it",
        )


def _odd_ones(looks: Mapping[str, MaskLook]) -> Iterator[tuple[str, str]]:
    """(path, message) of masks of another kind than most of their domain's, by path."""
    kinds = {path: _kind(path, look) for path, look in looks.items()}
    if not kinds:
        return
    (usual, count), *others = Counter(kinds.values()).most_common()
    if 2 * count <= len(kinds) or not others:
        return
    for path, kind in kinds.items():
        if kind != usual:
            yield path, f"is {kind}, where {count} of the domain's {len(kinds)} masks are {usual}"


def _kind(path: str, look: MaskLook) -> str:
    stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    name = ", named `..._mask`" if stem.casefold().endswith("_mask") else ""
    values = "in grey" if look.num_greys > _MANY_GREYS else "in black and white"
    values = "in colour" if look.is_colour else values
    return f"{values}{', as JPEG' if look.is_jpeg else ''}{name}"
