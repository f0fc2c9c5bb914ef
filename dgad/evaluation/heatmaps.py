"""Pixel maps as pictures: an overlay on the image, and a strip of image, mask and heatmap."""

# H, W the image's pixels; h, w cells of a map

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

_Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating]

_GAP_PX = 4
_OUTLINE_COLOUR = (0, 229, 255)
# Matt Zucker's polynomial in t (powers 0 to 6) of matplotlib's `inferno`: dark to bright with an even
# rise in lightness, so that it reads the same for colour-blind eyes and on a grey print.
_INFERNO = np.array(
    [
        (0.0002189403691192265, 0.001651004631001012, -0.01948089843709184),
        (0.1065134194856116, 0.5639564367884091, 3.932712388889277),
        (11.60249308247187, -3.972853965665698, -15.9423941062914),
        (-41.70399613139459, 17.43639888205313, 44.35414519872813),
        (77.162935699427, -33.40235894210092, -81.80730925738993),
        (-71.31942824499214, 32.62606426397723, 73.20951985803202),
        (25.13112622477341, -12.24266895238567, -23.07032500287172),
    ]
)


def overlay_png(image: _Bytes, heat: Floats, *, low: float, high: float) -> bytes:
    """PNG of `image` (H, W, 3) under the map `heat` (h, w), in the image's size.

    A score of `low` or less leaves the image as it is, `high` or more hides it; the scale should be
    one for a whole domain, or pictures cannot be compared.
    """
    return png_bytes(overlay(image, heat, low=low, high=high))


def heat_png(heat: Floats, size: tuple[int, int], *, low: float, high: float) -> bytes:
    """PNG of the map (h, w) alone in `size` (width, height): `low` or less is black, `high` brightest."""
    return png_bytes(_coloured(_resized(heat, size, low, high)))


def map_png(heat: Floats, *, low: float, high: float) -> bytes:
    """Grey PNG of the map (h, w) on its own grid: `low` or less is 0, `high` or more 255, NaN is clear."""
    known = np.isfinite(heat)
    scaled = (np.where(known, heat, low) - low) / (high - low) if high > low else np.zeros(heat.shape)
    grey = np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    if known.all():
        return png_bytes(grey)
    return png_bytes(np.stack([grey, known.astype(np.uint8) * 255], axis=-1))


def strip_png(
    image: _Bytes, mask: NDArray[np.bool_] | None, heat: Floats | None, *, low: float, high: float
) -> bytes:
    """PNG of panels side by side: the image, its mask's outline, the heatmap.

    The outline is left out where `mask` is None (not known), the heatmap where `heat` is None.
    """
    panels = [image]
    if mask is not None:
        panels.append(outline(image, mask))
    if heat is not None:
        panels.append(overlay(image, heat, low=low, high=high))
    return png_bytes(join_panels(panels))


def join_panels(panels: Sequence[_Bytes]) -> _Bytes:
    """Pictures (H, W_i, 3) of one height side by side."""
    gap = np.full((panels[0].shape[0], _GAP_PX, 3), 255, dtype=np.uint8)
    row = [panels[0]]
    for panel in panels[1:]:
        row += [gap, panel]
    return np.concatenate(row, axis=1)


def colour(value: Floats) -> Floats:
    """RGB in [0, 1], shape (..., 3), of values in [0, 1]."""
    powers = np.clip(value, 0, 1)[..., None] ** np.arange(len(_INFERNO))
    result: Floats = np.clip(powers @ _INFERNO, 0, 1)
    return result


def overlay(
    image: _Bytes,
    heat: Floats,
    *,
    low: float,
    high: float,
    box: tuple[float, float, float, float] | None = None,
) -> _Bytes:
    """`image` (H, W, 3) under a map; `box` is the part of the map that lies over it, in cells."""
    height, width = image.shape[:2]
    value = _resized(heat, (width, height), low, high, box)
    opacity = np.sqrt(value)[..., None] * np.float32(0.85)
    mixed = image * (1 - opacity) + _coloured(value) * opacity
    return np.rint(mixed).astype(np.uint8)


def _resized(
    heat: Floats,
    size: tuple[int, int],
    low: float,
    high: float,
    box: tuple[float, float, float, float] | None = None,
) -> NDArray[np.float32]:
    """The map, or the part of it in `box`, on the scale's 0 to 1, shape (H, W)."""
    # A map that is flat has nothing to show.
    scaled = np.clip((heat - low) / (high - low), 0, 1) if high > low else np.zeros_like(heat)
    scaled = np.nan_to_num(scaled)  # outside of a region of interest nothing is shown
    resized = Image.fromarray(scaled.astype(np.float32)).resize(size, Image.Resampling.BILINEAR, box)
    return np.asarray(resized, dtype=np.float32)


def _coloured(value: Floats) -> _Bytes:
    """Each value by the nearest of 1024 colours: the polynomial takes a second for a large picture."""
    table = np.rint(colour(np.linspace(0, 1, 1024)) * 255).astype(np.uint8)
    return table[np.rint(value * 1023).astype(np.uint16)]


def outline(image: _Bytes, mask: NDArray[np.bool_]) -> _Bytes:
    """`image` (H, W, 3) with a line around what a mask over it marks."""
    height, width = image.shape[:2]
    resized = Image.fromarray(mask.astype(np.uint8) * 255).resize((width, height), Image.Resampling.NEAREST)
    inside = np.asarray(resized) > 0
    # Just outside the defect, and thick enough to be seen in a large image shown small.
    thickness = max(1, round(min(height, width) / 128))
    outline = ndimage.binary_dilation(inside, iterations=thickness) & ~inside
    result = image.copy()
    result[outline] = _OUTLINE_COLOUR
    return result


def png_bytes(pixels: _Bytes) -> bytes:
    """A picture as PNG: (H, W, 3), or grey (H, W), or grey with what is opaque (H, W, 2)."""
    buffer = io.BytesIO()
    # Pillow's usual level takes six times as long for a tenth fewer bytes.
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()
