"""Error maps of tiles put together to one map of the whole image, and what an image's score is taken from."""

# H x W pixels of a tile, t x u cells of it, h x w cells of an image's score map

import torch
import torch.nn.functional as F
from torch import Tensor

from dgad.comparer.model import gaussian_smooth
from dgad.domains.geometry import map_size, map_stride, num_pooled
from dgad.training.tiles import Tile, Tiles


class Stitcher:
    """The score maps of a set of images, filled tile by tile.

    Where tiles overlap they are blended: a tile weighs the less the nearer its border is, so that no seam
    shows. Cells outside of the region of interest stay NaN. An image of one tile is that tile's map.
    """

    def __init__(self, tiles: Tiles, overlap_px: int) -> None:
        self._tiles, self._overlap_px = tiles, overlap_px
        self._sums: dict[int, Tensor] = {}
        self._missing = [0] * len(tiles.source)
        for tile in tiles.tiles:
            self._missing[tile.image] += 1
        self._is_cut = [count > 1 for count in self._missing]

    def add(self, index: int, error_HW: Tensor) -> Tensor | None:
        """Take the errors of a tile; the image's map (h, w) once it has all of them."""
        tile = self._tiles.tiles[index]
        size, alpha = self._tiles.source.sizes[tile.image], self._tiles.alpha([index])
        if not self._is_cut[tile.image] and alpha is None:
            return error_HW.cpu()
        stride, grid = map_stride(*size), map_size(*size)
        counted_HW = torch.ones_like(error_HW) if alpha is None else alpha[0].to(error_HW)
        pair_2tu = F.avg_pool2d(torch.stack((error_HW * counted_HW, counted_HW))[:, None], stride)[:, 0].cpu()
        counts_tu = pair_2tu[1] > 0
        mean_tu = pair_2tu[0] / pair_2tu[1].where(counts_tu, 1.0)
        weight_tu = counts_tu * (self._weights(tile, stride) if self._is_cut[tile.image] else 1.0)
        sums_2hw = self._sums.setdefault(tile.image, torch.zeros(2, *grid))
        top, left = tile.top // stride, tile.left // stride
        place_2tu = sums_2hw[:, top : top + mean_tu.shape[0], left : left + mean_tu.shape[1]]
        height, width = place_2tu.shape[1:]
        place_2tu += torch.stack((mean_tu * weight_tu, weight_tu))[:, :height, :width]
        self._missing[tile.image] -= 1
        if self._missing[tile.image]:
            return None
        total_hw, weight_hw = self._sums.pop(tile.image)
        whole_hw: Tensor = total_hw / weight_hw
        return whole_hw  # 0 / 0 is NaN, which is what cells outside are to be

    def _weights(self, tile: Tile, stride: int) -> Tensor:
        """Of a tile's cells (t, u): 1, falling towards its borders over what neighbours share."""
        ramp = max(1, self._overlap_px // stride)
        sides = []
        for cells in (tile.height // stride, tile.width // stride):
            place = torch.arange(cells) + 0.5
            sides.append((torch.minimum(place, cells - place) / ramp).clamp_max(1.0))
        weight_tu: Tensor = sides[0][:, None] * sides[1]
        return weight_tu


def smooth_inside(map_hw: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing by what is not NaN alone, which stays NaN."""
    if sigma <= 0:
        return map_hw
    inside_hw = ~map_hw.isnan()
    if inside_hw.all():
        return gaussian_smooth(map_hw[None], sigma)[0]
    pair = torch.stack((map_hw.where(inside_hw, 0.0), inside_hw.to(map_hw.dtype)))
    smooth_hw, weight_hw = gaussian_smooth(pair, sigma)
    inside: Tensor = (smooth_hw / weight_hw).where(inside_hw, torch.nan)
    return inside


def pool_map(map_hw: Tensor, fraction: float, *, stride: int, pooled_area_px: int) -> Tensor:
    """Mean of the largest values that are not NaN, a fraction of them and of an area that does not grow."""
    value_K = map_hw[~map_hw.isnan()]
    return value_K.topk(num_pooled(fraction, len(value_K), stride, pooled_area_px)).values.mean()
