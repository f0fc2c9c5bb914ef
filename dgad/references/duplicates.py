"""Photographs that are nearly one and the same: encoded again, resized or a little brighter.

Two photographs of one surface share its colour, its lighting and its kind of pattern, but not where each
grain lies. So a thumbnail keeps the fine structure only: grey, less its own blur, scaled to unit spread; and
two are near duplicates where their structure correlates almost wholly. Parts that lie in register, printed
cells for example, share their structure too, so what a domain's photographs have in common is taken away.
"""

# R photographs, S pixels a side of a thumbnail, F = S x S

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from dgad.domains.decoding import decode_image
from dgad.domains.shrinking import THUMBNAIL_PX, shrink_to_grey
from dgad.errors import ImageError

NUM_BYTES = THUMBNAIL_PX * THUMBNAIL_PX
NEAR = 0.97
"""Correlation from which on two are of one photograph.

`benchmarks/near_duplicates.py` on four real and eight procedural surfaces: every photograph stored again
(JPEG 70, half the size, 10% brighter, all of it) is found, and of unlike ones none is taken for another,
except 12% of solar cells, which lie in register and hardly differ.
"""

_FINE_PX, _COARSE_PX = 1.0, 3.0  # what is finer is lost in resizing, what is coarser is lighting
_LEVELS_PER_SPREAD = 24.0
_MIN_SPREAD = 0.1  # grey levels: less is what encoding leaves of an image of one colour
_MIN_FOR_COMMON = 8


def fingerprint(image: Image.Image) -> bytes:
    """Thumbnail of the fine structure, int8 (S, S) row by row; all zero for an image of one colour."""
    return fingerprint_of_thumbnail(shrink_to_grey(image))


def fingerprint_of_thumbnail(grey_SS: NDArray[np.float32]) -> bytes:
    """The same of an image's grey thumbnail."""
    small_SS = grey_SS.astype(np.float64)
    structure_SS = gaussian_filter(small_SS, _FINE_PX) - gaussian_filter(small_SS, _COARSE_PX)
    spread = float(structure_SS.std())
    if spread < _MIN_SPREAD:
        return bytes(NUM_BYTES)
    scaled_SS = np.rint((structure_SS - structure_SS.mean()) * (_LEVELS_PER_SPREAD / spread))
    return bytes(np.clip(scaled_SS, -127, 127).astype(np.int8).tobytes())


def fingerprint_of_file(data: bytes) -> bytes:
    """The same of an encoded image; empty where it cannot be decoded."""
    try:
        return fingerprint(decode_image(data, "photograph"))
    except ImageError:
        return b""


def near_duplicates(
    fingerprints: Sequence[bytes], num_known: int, known_copies: Sequence[int]
) -> list[int | None]:
    """For each photograph after the first `num_known`: index of an earlier one that it nearly equals.

    `known_copies`: indices of those that are themselves near duplicates. Empty fingerprints are like none.
    """
    if len(fingerprints) == num_known:
        return []
    structure_RF = np.stack([_structure(f) for f in fingerprints])
    usable_R = np.array([len(f) == NUM_BYTES for f in fingerprints], dtype=np.bool_)
    raw = _nearest(structure_RF, usable_R, num_known, common=None)
    copies = {*known_copies, *(num_known + i for i, n in enumerate(raw) if n is not None)}
    originals = [i for i in range(len(fingerprints)) if usable_R[i] and i not in copies]
    if len(originals) < _MIN_FOR_COMMON or not any(n is not None for n in raw):
        return raw
    centred = _nearest(structure_RF, usable_R, num_known, common=structure_RF[originals].mean(axis=0))
    return [None if r is None else c for r, c in zip(raw, centred, strict=True)]


def _nearest(
    structure_RF: NDArray[np.float32],
    usable_R: NDArray[np.bool_],
    num_known: int,
    *,
    common: NDArray[np.float32] | None,
) -> list[int | None]:
    is_plain_R = usable_R & ~structure_RF.any(axis=1)
    unit_RF = structure_RF
    if common is not None:
        share_R = structure_RF @ common / max(float(common @ common), 1e-6)
        unit_RF = structure_RF - share_R[:, None] * common
    unit_RF = unit_RF / np.maximum(np.linalg.norm(unit_RF, axis=1, keepdims=True), 1e-6)
    similarity = unit_RF[num_known:] @ unit_RF.T
    similarity[:, ~usable_R] = -1.0
    similarity[~usable_R[num_known:]] = -1.0
    similarity[np.ix_(is_plain_R[num_known:], is_plain_R)] = 1.0  # two of one colour are alike
    found: list[int | None] = []
    for row, values in enumerate(similarity):
        earlier = values[: num_known + row]
        best = int(earlier.argmax()) if len(earlier) else 0
        found.append(best if len(earlier) and earlier[best] >= NEAR else None)
    return found


def _structure(fingerprint: bytes) -> NDArray[np.float32]:
    if len(fingerprint) != NUM_BYTES:
        return np.zeros(NUM_BYTES, dtype=np.float32)
    return np.frombuffer(fingerprint, dtype=np.int8).astype(np.float32)
