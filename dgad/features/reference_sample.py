"""What of the references the statistics of a network are measured on: all of them, or tiles of large ones."""

# N images or tiles, H x W pixels

import torch
from torch import Tensor

from dgad.domains.image_set import ImageSet
from dgad.features.blocks import Window, cut_pixels, up

_MAX_PX = 2**21
"""Looked at in one pass, so that memory is bounded; a mean over fewer pixels of a texture is as good."""
_TILE_PX = 256
_ALIGN_PX = 32


def sample_pixels(references: ImageSet, *, window_px: int | None = None) -> tuple[Tensor, Tensor | None]:
    """(uint8 (N, 3, H, W), which pixels count, bool (N, H, W), or None: all), for one pass.

    References that have up to two megapixels together are taken whole; of larger ones tiles that are spread
    evenly, as many of each. What they are filled up with by reflection does not count, nor does what lies
    outside of a region of interest. `window_px` is the side of the only square that the network takes.
    """
    sizes = references.sizes
    height, width = (up(max(side), _ALIGN_PX) for side in zip(*sizes, strict=True))
    is_whole = len(sizes) * height * width <= _MAX_PX and window_px is None
    if not is_whole:
        side = _TILE_PX if window_px is None else window_px
        height, width = (side, side) if window_px is not None else (min(height, side), min(width, side))
    most = max(1, _MAX_PX // (height * width))
    chosen = _spread(len(sizes), most)
    pixels, counted = [], []
    for index in chosen:
        image = references.images[index]
        inside = _inside(references, index)
        windows = [Window(top=0, left=0, bottom=height, right=width)]
        if not is_whole:
            windows = _windows(inside, height, width, max(1, most // len(chosen)))
        for window in windows:
            pixels.append(cut_pixels(image, window))
            part = inside[window.top : window.bottom, window.left : window.right]
            full = torch.zeros(height, width, dtype=torch.bool)
            full[: part.shape[0], : part.shape[1]] = part
            counted.append(full)
    counted_NHW = torch.stack(counted)
    return torch.stack(pixels), None if bool(counted_NHW.all()) else counted_NHW


def _inside(references: ImageSet, index: int) -> Tensor:
    """Which pixels of a reference count, bool (h, w)."""
    height, width = references.sizes[index]
    region = references.region(index)
    if region is None:
        return torch.ones(height, width, dtype=torch.bool)
    return torch.from_numpy(region.counts(height, width).copy())


def _windows(inside_hw: Tensor, height: int, width: int, count: int) -> list[Window]:
    """At most so many tiles of an image, spread over those of which something counts."""
    found = []
    for top in _starts(inside_hw.shape[0], height):
        for left in _starts(inside_hw.shape[1], width):
            if bool(inside_hw[top : top + height, left : left + width].any()):
                found.append(Window(top=top, left=left, bottom=top + height, right=left + width))
    return [found[i] for i in _spread(len(found), count)]


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin that lie side by side, the last one moved back to end with the image."""
    if length <= side:
        return [0]
    return [*range(0, length - side, side), length - side]


def _spread(total: int, count: int) -> list[int]:
    """At most `count` of `total` places, evenly."""
    if total <= count:
        return list(range(total))
    return [(2 * i + 1) * total // (2 * count) for i in range(count)]
