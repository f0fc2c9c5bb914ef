"""From grids of patch scores to what methods answer: one score an image, and one map of the whole image."""

# N images, K patches that count, H x W patches of an image, h x w values of its map

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from dgad.comparer.model import gaussian_smooth
from dgad.domains.geometry import map_size, map_stride, num_pooled
from dgad.domains.image_set import ImageSet
from dgad.features.grids import PatchGrid, PatchGrids, covered_cells

Upsampling = Literal["nearest", "bilinear"]


def pool_images(grids: PatchGrids, *, fraction: float | None, pooled_area_px: int) -> Tensor:
    """Scores (N,): the mean of the largest patch scores, a `fraction` of them; without one the largest alone.

    Patches outside of the region of interest do not count.
    """
    scores = [torch.zeros(0)]
    for index in range(len(grids)):
        value_K = grids[index].counted
        pitch = grids[index].pitch_px
        stride = (pitch[0] * pitch[1]) ** 0.5
        top = 1 if fraction is None else num_pooled(fraction, len(value_K), stride, pooled_area_px)
        scores.append(value_K.topk(min(top, len(value_K))).values.mean()[None].cpu())
    return torch.cat(scores)


def draw_maps(
    levels: Sequence[PatchGrids],
    images: ImageSet,
    *,
    sigma_px: float,
    upsampling: Upsampling = "nearest",
    reach: float = 3.0,
    border: str = "replicate",
) -> tuple[Tensor, ...]:
    """The score map (h, w) of every image on its `map_size` grid: the largest of its levels' patches there.

    Smoothed by a Gaussian of `sigma_px` scaled pixels, inside the region of interest by what lies inside
    alone; NaN outside of it.
    """
    maps = []
    for index, size in enumerate(images.sizes):
        grid = map_size(*size)
        sigma = sigma_px / map_stride(*size)
        drawn = [_enlarge(level[index], size, upsampling) for level in levels]
        joined_hw = torch.stack(drawn).amax(0) if len(drawn) > 1 else drawn[0]
        region = images.region(index)
        if region is None:
            smooth = sigma_px > 0
            joined_hw = (
                gaussian_smooth(joined_hw[None], sigma, reach=reach, border=border)[0]
                if smooth
                else joined_hw
            )
        else:
            inside_hw = covered_cells(region, grid).to(joined_hw.device)
            joined_hw = joined_hw.where(inside_hw, 0.0)
            if sigma_px > 0:
                pair = torch.stack((joined_hw, inside_hw.to(joined_hw.dtype)))
                joined_hw, weight_hw = gaussian_smooth(pair, sigma, reach=reach, border=border)
                joined_hw = joined_hw / weight_hw
            joined_hw = joined_hw.where(inside_hw, torch.nan)
        maps.append(joined_hw.cpu())
    return tuple(maps)


def _enlarge(grid: PatchGrid, size: tuple[int, int], upsampling: Upsampling) -> Tensor:
    """Patch scores (H, W) on the map's grid (h, w): at every value's centre that of its patch, or between."""
    value_HW = grid.values
    places = []
    for length, cells, pitch, num_patches in zip(
        size, map_size(*size), grid.pitch_px, value_HW.shape, strict=True
    ):
        centre = (torch.arange(cells, device=value_HW.device) + 0.5) * (length / cells) / pitch
        places.append((centre, num_patches))
    (row_h, num_rows), (column_w, num_columns) = places
    if upsampling == "nearest":
        rows = row_h.long().clamp_max(num_rows - 1)
        return value_HW[rows][:, column_w.long().clamp_max(num_columns - 1)]
    return _between(_between(value_HW, row_h).t(), column_w).t()


def _between(value_HW: Tensor, centre_h: Tensor) -> Tensor:
    """Rows of the grid interpolated linearly between the centres of patches."""
    place = (centre_h - 0.5).clamp(0, len(value_HW) - 1)
    low = place.long()
    high = (low + 1).clamp_max(len(value_HW) - 1)
    return torch.lerp(value_HW[low], value_HW[high], (place - low).to(value_HW.dtype)[:, None])
