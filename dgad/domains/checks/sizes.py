"""How large photographs and their defects are, and what a scale makes of them."""

# H x W pixels of a photograph, D connected defects

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dgad.domains.base import Dataset, Domain, Sample
from dgad.domains.checks.listing import describe_domain
from dgad.domains.geometry import Geometry
from dgad.domains.problems import Problem

FEWEST_PX = 4.0
"""Scaled pixels a side below which a defect is no more than noise in the finest map of a backbone."""
_FRAGMENT = 1 / 16
"""Share of its mask's largest defect below which a connected part is a fragment of drawing, and no defect."""
_SMALLEST = 5.0
"""Percentile of a domain's defects that stands for its smallest ones: single specks are often slips."""
_EIGHT_CONNECTED = np.ones((3, 3), dtype=np.int8)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SampleSizes:
    """What was measured of one photograph and its mask."""

    height: int
    width: int
    defects_px: tuple[float, ...] = ()
    """Side of a square of as many pixels, of every connected defect of the mask but fragments."""
    num_outside: int = 0
    """Connected defects that lie outside of the domain's region of interest for the most part."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DomainSizes:
    """Photographs and defects of one domain, and what they become at the scale that is used."""

    smallest: tuple[int, int]
    """Width and height in pixels of the photograph with the fewest."""
    largest: tuple[int, int]
    scale: str
    """The domain's own where it states one, else the one that was asked about."""
    scaled_smallest: tuple[int, int]
    scaled_largest: tuple[int, int]
    num_defects: int
    """Connected defects of all masks, fragments left out."""
    defect_px: float | None
    """Side of the smallest defects (5th percentile), as the root of their area; None without a mask."""
    scaled_defect_px: float | None
    """The same at the scale."""


def measure_sample(
    sample: Sample, size: tuple[int, int], mask_HW: npt.NDArray[np.bool_] | None
) -> SampleSizes:
    """Measure a photograph of that (height, width), and the defects of its mask."""
    if mask_HW is None or not mask_HW.any():
        return SampleSizes(height=size[0], width=size[1])
    labels_HW, count = ndimage.label(mask_HW, structure=_EIGHT_CONNECTED)
    marked = labels_HW > 0
    areas_D = np.bincount(labels_HW[marked], minlength=count + 1)[1:]
    num_outside = 0
    if sample.image.region is not None:
        inside = marked & sample.image.region.covers(*mask_HW.shape)
        kept_D = np.bincount(labels_HW[inside], minlength=count + 1)[1:]
        num_outside = int((2 * kept_D < areas_D).sum())
    return SampleSizes(
        height=size[0],
        width=size[1],
        defects_px=tuple(np.sqrt(areas_D[areas_D >= _FRAGMENT * areas_D.max()]).tolist()),
        num_outside=num_outside,
    )


def summarise_sizes(
    domain: Domain, measured: Sequence[SampleSizes], geometry: Geometry
) -> DomainSizes | None:
    """The sizes of a domain; None where none of its images could be read."""
    if not measured:
        return None
    own = geometry.with_scale(domain.scale)
    by_area = sorted(measured, key=lambda m: m.height * m.width)
    smallest, largest = by_area[0], by_area[-1]
    defects = [side for m in measured for side in m.defects_px]
    scaled = [side * _factor(own, m) for m in measured for side in m.defects_px]

    def as_scaled(sizes: SampleSizes) -> tuple[int, int]:
        height, width = own.scaled_size(sizes.height, sizes.width)
        return width, height

    return DomainSizes(
        smallest=(smallest.width, smallest.height),
        largest=(largest.width, largest.height),
        scale=str(own.parsed_scale),
        scaled_smallest=as_scaled(smallest),
        scaled_largest=as_scaled(largest),
        num_defects=len(defects),
        defect_px=float(np.percentile(defects, _SMALLEST)) if defects else None,
        scaled_defect_px=float(np.percentile(scaled, _SMALLEST)) if scaled else None,
    )


def _factor(geometry: Geometry, sizes: SampleSizes) -> float:
    """By how much the side of a square shrinks."""
    height, width = geometry.scaled_size(sizes.height, sizes.width)
    return math.sqrt(height * width / (sizes.height * sizes.width))


def list_size_problems(domain: Domain, dataset: Dataset, sizes: DomainSizes | None) -> Iterator[Problem]:
    """A warning where the smallest defects of a domain are lost at the scale."""
    if sizes is None or sizes.defect_px is None or sizes.scaled_defect_px is None:
        return
    if sizes.scaled_defect_px >= FEWEST_PX:
        return
    small = f"{sizes.scaled_defect_px:.1f} px at the scale `{sizes.scale}`, under {FEWEST_PX:.0f}"
    if sizes.scale == "native" or sizes.defect_px < FEWEST_PX:
        reason = "no scale shows them: photograph the part from nearer"
    else:
        enough = _enough(sizes.defect_px)
        option = f"(`--scale {enough}`{'' if enough == 'native' else ' or more'})"
        where = option if domain.scale is None else "in its domain.json"
        reason = f"look at it at a larger scale {where}"
    if sizes.scale == "native":
        small = f"{sizes.defect_px:.1f} px, under {FEWEST_PX:.0f}"
    message = (
        f"has defects as small as a square of {small} (the 5th percentile of {sizes.num_defects} connected"
        f" ones, {sizes.defect_px:.0f} px in the photographs), so they may be missed; {reason}"
    )
    yield describe_domain("warning", "tiny_defects", domain, dataset, message)


def _enough(defect_px: float) -> str:
    """The smallest factor of two digits at which a defect has enough pixels; `native` if it is nearly 1."""
    factor = math.ceil(100 * FEWEST_PX / defect_px) / 100
    return "native" if factor > 0.8 else f"{factor:g}"


def list_outside_problems(sample: Sample, sizes: SampleSizes) -> Iterator[Problem]:
    """A warning where defects of a mask lie outside of the region of interest."""
    if not sizes.num_outside or sample.mask is None:
        return
    what = "a defect" if sizes.num_outside == 1 else f"{sizes.num_outside} defects"
    yield Problem(
        severity="warning",
        code="defect_outside_region",
        domain=sample.domain,
        path=sample.mask.path,
        message=(
            f"has {what} outside of the domain's region of interest, where nothing is scored, though the"
            " image counts as defective: widen the region, or count it as normal"
        ),
    )
