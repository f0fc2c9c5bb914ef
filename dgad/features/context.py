"""How far a network sees, found out by asking it: what a block of an image needs around it.

Nothing is read from the network's code. A strip of which one half is not a number shows which cells see
across the middle: whatever touches a NaN becomes one. That is checked on a strip of numbers, cut and whole.
"""

# A strip is (1, 3, H, W) of normalised pixels; s_i the stride of level i

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Compute = Callable[[Tensor], Sequence[Tensor]]
"""Normalised pixels (N, 3, H, W) to maps (N, C_i, H / s_i, W / s_i)."""

_WIDTHS_PX = (1024, 4096)
"""Of the strips: what sees no farther than half of the last counts as local."""
_STRIP_CELLS = 3
"""Height of a strip in coarsest cells: odd, so that a coarser grid inside the network is noticed."""
_MAX_ALIGN_PX = 128
_TOLERANCE = 1e-4
"""Of the largest value of a map: well above rounding, well below anything that a pixel does."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a network needs to be computed block by block."""

    align_px: int
    """Blocks begin and end at multiples of this, and images are filled up to one."""
    reach_px: int | None
    """How far a cell sees beyond its own square, rounded up to `align_px`; None: across the whole image, as
    with attention, squeeze-and-excitation or any other mean over the image."""
    has_cells: bool = True
    """Whether level i of an image of multiples of `align_px` has one cell every s_i pixels."""


@torch.no_grad()
def measure_context(compute: Compute, strides: Sequence[int], *, device: torch.device) -> Context:
    """Find the context of a network with levels of these strides; takes some 0.1 s."""
    coarsest = max(strides)
    aligns = [coarsest]
    while aligns[-1] < _MAX_ALIGN_PX:
        aligns.append(2 * aligns[-1])
    usable = [align for align in aligns if _has_cells(compute, strides, align, device)]
    if not usable:
        return Context(align_px=coarsest, reach_px=None, has_cells=False)
    reach = _reach(compute, strides, usable[0], device)
    if reach is not None:
        for align in usable:
            rounded = _up(reach, align)
            if _is_seamless(compute, strides, align, rounded, device):
                return Context(align_px=align, reach_px=rounded)
    return Context(align_px=usable[0], reach_px=None)


def _has_cells(compute: Compute, strides: Sequence[int], align: int, device: torch.device) -> bool:
    """Whether images of multiples of `align` can be computed, and have the cells that strides promise."""
    height, width = _STRIP_CELLS * align, 5 * align
    try:
        maps = compute(torch.zeros(1, 3, height, width, device=device))
    except (RuntimeError, ValueError, AssertionError, IndexError):  # as models refuse a size
        return False
    wanted = [(height // s, width // s) for s in strides]
    return [tuple(m.shape[-2:]) for m in maps] == wanted


def _reach(compute: Compute, strides: Sequence[int], align: int, device: torch.device) -> int | None:
    """Pixels that cells see beyond their own square, at most; None where there is no end to it."""
    for width in _WIDTHS_PX:
        width = _up(width, 2 * align)
        middle = width // 2
        reaches = []
        for upright in (False, True):
            strips = _noise(2, _STRIP_CELLS * align, width, device)
            strips[0, ..., :middle] = torch.nan
            strips[1, ..., middle:] = torch.nan
            maps = compute(strips.transpose(2, 3) if upright else strips)
            for stride, level in zip(strides, maps, strict=True):
                across = level.isnan().any(1).any(2 if upright else 1)
                reaches.append(int(across[0].sum()) * stride - middle)
                reaches.append(int(across[1].sum()) * stride - middle)
        if max(reaches) < middle:
            return max(0, *reaches)
    return None


def _is_seamless(
    compute: Compute, strides: Sequence[int], align: int, reach: int, device: torch.device
) -> bool:
    """Whether a part of a strip, cut at odd multiples of `align`, has the cells of the whole strip."""
    first, last = align, 2 * _up(reach, align) + 6 * align + align
    strip = _noise(1, _STRIP_CELLS * align, last + align, device)
    for upright in (False, True):
        whole = compute(strip.transpose(2, 3) if upright else strip)
        part = strip[..., first:last]
        cut = compute(part.transpose(2, 3) if upright else part)
        for stride, all_cells, cells in zip(strides, whole, cut, strict=True):
            if upright:
                all_cells, cells = all_cells.transpose(2, 3), cells.transpose(2, 3)
            inside = slice((first + reach) // stride, (last - reach) // stride)
            wanted = all_cells[..., inside]
            got = cells[..., reach // stride : (last - reach - first) // stride]
            if not float((wanted - got).abs().max()) <= _TOLERANCE * float(wanted.abs().max()):
                return False
    return True


def _noise(count: int, height: int, width: int, device: torch.device) -> Tensor:
    """Strips of which no two places look alike, the same every time."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, height, width, generator=generator).to(device)


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
