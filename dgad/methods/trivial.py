"""`trivial`: grey-value statistics against the references', the row that shows how hard the data are."""

# R references, F statistics, H x W pixels of an image, h x W of a strip, h x w cells of a score map, K pixels

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dgad.domains.geometry import map_size, map_stride
from dgad.domains.image_set import ImageSet
from dgad.features.grids import covered_cells
from dgad.methods.base import Context, Enrolled, Method, Scores, Traits, check_references
from dgad.training.sources import SourceDomain

_STRIP_PX = 2**20
"""Pixels of an image that are looked at together."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrivialSettings:
    """Settings of `trivial`, of which there are none."""


class TrivialMethod(Method):
    """The largest z-score of a query's mean, spread, darkest, brightest and gradient grey values."""

    name: ClassVar[str] = "trivial"
    title: ClassVar[str] = "Trivial statistics"
    traits: ClassVar[Traits] = Traits(
        learns=False,
        needs_defects=False,
        min_sources=0,
        trains_at_enrolment=False,
        gives_pixels=True,
        servable=True,
    )
    settings_type: ClassVar[type[Any]] = TrivialSettings
    presets: ClassVar[Mapping[str, Any]] = {"default": TrivialSettings()}

    def __init__(self, settings: TrivialSettings, context: Context) -> None:
        super().__init__(settings, context)

    def fit(self, sources: Sequence[SourceDomain], *, seed: int) -> None:
        """Nothing to learn, nothing random."""

    def enroll(self, references: ImageSet) -> Enrolled:
        """Mean and spread of every statistic over the references, and of their grey values."""
        check_references(references)
        measured = [measure(references, index) for index in range(len(references))]
        statistic_RF = torch.stack([m.statistic_F for m in measured])
        num_R = torch.tensor([m.count for m in measured], dtype=torch.float64)
        mean_R, spread_R = statistic_RF[:, 0], statistic_RF[:, 1]
        grey_mean = (mean_R * num_R).sum() / num_R.sum()
        grey_variance = ((spread_R.square() + (mean_R - grey_mean).square()) * num_R).sum() / num_R.sum()
        tensors = {
            "mean": statistic_RF.mean(0),
            # Half a grey value: a single reference has no spread, and no statistic is known better.
            "spread": statistic_RF.std(0, correction=0).clamp_min(0.5),
            "grey_mean": grey_mean,
            "grey_spread": grey_variance.sqrt().clamp_min(0.5),
        }
        rounded = {name: tensor.float() for name, tensor in tensors.items()}
        return Enrolled(method=self.name, num_references=len(references), tensors=rounded)

    def score(self, queries: ImageSet, enrolled: Enrolled) -> Scores:
        """Largest absolute z-score of an image; a pixel's absolute z-score against all reference pixels.

        A cell of a large image's map has the largest of its pixels'.
        """
        kept = enrolled.tensors
        images, maps = [torch.zeros(0)], []
        for index in range(len(queries)):
            z_F = (measure(queries, index).statistic_F.float() - kept["mean"]).abs() / kept["spread"]
            images.append(z_F.amax()[None])
            maps.append(_draw_map(queries, index, kept["grey_mean"], kept["grey_spread"]))
        return Scores(image=torch.cat(images), pixels=tuple(maps))

    def state(self) -> dict[str, Tensor]:
        """Give the tensors a bundle keeps, of which there are none."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Do nothing: no tensor is kept."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What is measured of one image where it counts."""

    statistic_F: Tensor
    """float64 (F,): mean, deviation, darkest, brightest, mean absolute gradient; in grey values."""
    count: int
    """Pixels that count."""


def measure(images: ImageSet, index: int) -> Measured:
    """Statistics of an image in its region of interest, strip by strip: a large one needs no more memory."""
    count, total, squares, low, high = 0, 0.0, 0.0, math.inf, -math.inf
    change, num_changes = [0.0, 0.0], [0, 0]
    last: tuple[Tensor, Tensor] | None = None
    for grey_hW, inside_hW in _strips(images, index):
        value_K = grey_hW[inside_hW]
        if len(value_K):
            count, total, squares = (
                count + len(value_K),
                total + float(value_K.sum()),
                squares + float(value_K.square().sum()),
            )
            low, high = min(low, float(value_K.amin())), max(high, float(value_K.amax()))
        strip = grey_hW, inside_hW
        # Down a column, the step from the strip before counts too.
        tall = strip if last is None else (torch.cat((last[0], grey_hW)), torch.cat((last[1], inside_hW)))
        for axis, (grey, inside) in enumerate((tall, strip)):
            length = grey.shape[axis]
            both = inside.narrow(axis, 0, length - 1) & inside.narrow(axis, 1, length - 1)
            change[axis] += float(grey.diff(dim=axis).abs()[both].sum())
            num_changes[axis] += int(both.sum())
        last = grey_hW[-1:], inside_hW[-1:]
    mean = total / count
    deviation = math.sqrt(max(0.0, squares / count - mean**2))
    gradient = sum(c / max(1, n) for c, n in zip(change, num_changes, strict=True)) / 2
    statistic_F = torch.tensor([mean, deviation, low, high, gradient], dtype=torch.float64)
    return Measured(statistic_F=statistic_F, count=count)


def _draw_map(images: ImageSet, index: int, mean: Tensor, spread: Tensor) -> Tensor:
    """Absolute z-scores (h, w) on the `map_size` grid; NaN outside of the region."""
    stride = map_stride(*images.sizes[index])
    rows = []
    for grey_hW, inside_hW in _strips(images, index):
        z_hW = ((grey_hW.float() - mean).abs() / spread).where(inside_hW, -1.0)
        rows.append(F.max_pool2d(z_hW[None], stride, ceil_mode=True)[0] if stride > 1 else z_hW)
    map_hw = torch.cat(rows)
    return map_hw.where(map_hw >= 0, torch.nan)


def _strips(images: ImageSet, index: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Grey values, float64 in 0 to 255, and which of them count: some rows (h, W) after the other.

    The mean of the colour channels. Strips have a multiple of 4 rows, as cells of score maps do at most.
    """
    pixels_3HW, (height, width), region = images.images[index], images.sizes[index], images.region(index)
    stride = map_stride(height, width)
    counts_hw = None if region is None else covered_cells(region, map_size(height, width))
    num_rows = max(4, _STRIP_PX // width // 4 * 4)
    for top in range(0, height, num_rows):
        grey_hW = pixels_3HW[:, top : top + num_rows].double().mean(0)
        inside_hW = torch.ones(grey_hW.shape, dtype=torch.bool)
        if counts_hw is not None:
            rows = torch.arange(top, top + len(grey_hW)) // stride
            inside_hW = counts_hw[rows][:, torch.arange(width) // stride]
        yield grey_hW, inside_hW
