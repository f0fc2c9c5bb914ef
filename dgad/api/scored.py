"""One scored image: its score, what that means, where the image looks abnormal, and a picture of it."""

# S pixels of a map's side, H x W pixels of the original image

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dgad.errors import DataError
from dgad.evaluation.heatmaps import overlay_png
from dgad.evaluation.regions import Region
from dgad.files import check_can_write, write_atomic

Verdict = Literal["normal", "abnormal", "uncalibrated"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScoredImage:
    """What a surface answers for one image. Its original is decoded again only where it is asked for."""

    name: str
    """The image's path, or where it stood among those that were scored: `images[3]`."""
    score: float
    """Logit or distance, whatever the method gives; higher is more anomalous."""
    p_value: float | None
    """(1 + calibration scores at least as high) / (n + 1), in (0, 1]; None without calibration."""
    verdict: Verdict
    """`abnormal` where the score exceeds the threshold; `uncalibrated` where there is no threshold."""
    threshold: float | None
    """What the score is compared with; None where the calibration supports none at the wanted rate."""
    false_alarm_rate: float | None
    """The share of normal images, 0 to 1, that exceed the threshold at most; None without calibration."""
    regions: tuple[Region, ...]
    """Boxes (x, y, width, height) in pixels of the original image, the highest first, at most 20."""
    pixel_scores: NDArray[np.float32] | None = dataclasses.field(repr=False)
    """The map as the method gives it, shape (S, S); None where the method does not localise."""
    heat_low: float
    """The pixel score that is cold in every overlay of the surface: the normal median."""
    heat_high: float
    """The pixel score that is hot: normal images stay in the lower half of the scale."""
    width_px: int
    """W, of the upright original."""
    height_px: int
    """H, of the upright original."""
    open_original: Callable[[], Image.Image] = dataclasses.field(repr=False)
    """Decodes the upright RGB original again."""
    same_as_reference: str | None = None
    """Name of the reference that is this very photograph: then the score says nothing."""

    @property
    def heatmap(self) -> NDArray[np.float32] | None:
        """Pixel scores in the original's size.

        Returns:
            float32 of shape (H, W), resized bilinearly from `pixel_scores`, higher is more anomalous; None
            where the method does not localise.
        """
        if self.pixel_scores is None:
            return None
        size = (self.width_px, self.height_px)
        return np.asarray(
            Image.fromarray(self.pixel_scores).resize(size, Image.Resampling.BILINEAR), dtype=np.float32
        )

    def overlay(self) -> bytes:
        """The original under its heatmap, as the PNG that `dgad-serve` answers with.

        Returns:
            The PNG's bytes, in the original's size: what is at most `heat_low` is left as it is, what is at
            least `heat_high` is brightest. The scale is the surface's, so that overlays can be compared.

        Raises:
            DataError: The method gives no pixel maps.
            ImageError: The file has been removed or damaged since it was scored.
        """
        if self.pixel_scores is None:
            raise DataError("The bundle's method gives no pixel maps, so there is no overlay.")
        original = np.asarray(self.open_original())
        return overlay_png(original, self.pixel_scores, low=self.heat_low, high=self.heat_high)

    def save_overlay(self, path: str | os.PathLike[str]) -> Path:
        """Write the overlay as a PNG file, whole or not at all; its folder is made where it is missing.

        Args:
            path: Of the file; one that is there is replaced.

        Returns:
            The path.

        Raises:
            DataError: The method gives no pixel maps, or the file cannot be written there.
        """
        target = Path(path)
        if target.is_dir():
            raise DataError(f"The overlay {target} cannot be written, because a folder has its name.")
        check_can_write(target.parent)
        write_atomic(target, self.overlay())
        return target

    def to_dict(self) -> dict[str, Any]:
        """What is not a picture, as plain JSON-ready values."""
        return {
            "image": self.name,
            "score": self.score,
            "p_value": self.p_value,
            "verdict": self.verdict,
            "threshold": self.threshold,
            "false_alarm_rate": self.false_alarm_rate,
            "regions": [dataclasses.asdict(region) for region in self.regions],
            "same_as_reference": self.same_as_reference,
        }

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows."""
        return None if self.pixel_scores is None else self.overlay()
