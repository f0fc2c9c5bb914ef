"""Decoded images made small and grey, as fingerprints take them; without torch, to load quickly."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from dgad.domains.wide_values import row_blocks

THUMBNAIL_PX = 64
"""A side of a grey thumbnail."""


def shrink_to_grey(image: Image.Image) -> npt.NDArray[np.float32]:
    """Grey levels, float32 (64, 64), of which `dgad.references.duplicates` makes prints; not rounded.

    First across, a few rows at a time, then down, as Pillow does it by itself: but of a whole photograph mode
    F would take as much memory as the photograph again.
    """
    narrow = Image.new("F", (THUMBNAIL_PX, image.height))
    for top, rows in row_blocks(image):
        grey = rows.convert("L").convert("F")
        narrow.paste(grey.resize((THUMBNAIL_PX, rows.height), Image.Resampling.BILINEAR), (0, top))
    return np.asarray(narrow.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BILINEAR))
