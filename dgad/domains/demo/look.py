"""What decides how synthetic photographs look: their size, their light, their defects."""

import dataclasses
import re

from dgad.domains.demo.noise import Canvas, make_canvas
from dgad.errors import SettingsError
from dgad.settings import require

_MIN_SIDE_PX, _MAX_SIDE_PX, _MAX_PX = 32, 8192, 2**24
_MIN_DEFECT_PX = 3


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How photographs look; with the seed it decides every pixel."""

    size_px: tuple[int, int] = (128, 128)
    """Width and height. A larger photograph shows more of the material; one with a side of less than 128 px
    shows as much as one of 128 px does, smaller."""
    defect_px: tuple[int, int] | None = None
    """Least and greatest extent of a defect: the longer side of the box around its mask. Extents between
    are drawn log-uniformly. None leaves each kind its usual size, some 10 to 100 px on 128 px."""
    contrast: float = 1.0
    """How much of a defect's change of colour is shown, above 0 to 1."""
    variation: float = 0.0
    """How much flawless images differ beside their light: sessions of the camera, seams, smudges, dust."""
    photometric: float = 1.0
    """How much light and colour differ between images; 0 keeps them constant."""

    def __post_init__(self) -> None:
        width, height = self.size_px
        rule = f"{_MIN_SIDE_PX} to {_MAX_SIDE_PX} pixels wide and high, and at most {_MAX_PX:,} in all"
        sides = all(_MIN_SIDE_PX <= n <= _MAX_SIDE_PX for n in self.size_px)
        require(sides and width * height <= _MAX_PX, "size_px", rule, f"{width}x{height}")
        if self.defect_px is not None:
            least, most = self.defect_px
            high = min(self.size_px) // 2
            rule = f"LEAST-GREATEST with both {_MIN_DEFECT_PX} to {high}, half the shorter side"
            require(_MIN_DEFECT_PX <= least <= most <= high, "defect_px", rule, f"{least}-{most}")
        require(0.1 <= self.contrast <= 1, "contrast", "0.1 to 1", self.contrast)
        require(0 <= self.variation <= 3, "variation", "0 to 3", self.variation)
        require(0 <= self.photometric <= 3, "photometric", "0 to 3", self.photometric)

    @property
    def canvas(self) -> Canvas:
        """What a photograph shows of the material."""
        return make_canvas(*self.size_px)


def make_look(
    *,
    size_px: int | tuple[int, int] = 128,
    defect_px: tuple[int, int] | None = None,
    contrast: float = 1.0,
    variation: float | None = None,
    photometric: float = 1.0,
) -> Look:
    """A look whose size may be one number, a square's; variation is 1 where defects have a size, else 0."""
    return Look(
        size_px=(size_px, size_px) if isinstance(size_px, int) else size_px,
        defect_px=defect_px,
        contrast=contrast,
        variation=variation if variation is not None else float(defect_px is not None),
        photometric=photometric,
    )


def parse_size(text: str) -> tuple[int, int]:
    """Width and height from `N`, a square, or `WxH`."""
    if (found := re.fullmatch(r"(\d{1,6})(?:[x×](\d{1,6}))?", text.strip().lower())) is None:
        raise SettingsError(f"`size` must be N or WxH in pixels, such as 1600x1200, but got {text!r}.")
    return int(found[1]), int(found[2] or found[1])


def parse_defect_px(text: str) -> tuple[int, int]:
    """Least and greatest extent from `N` or `LEAST-GREATEST`."""
    if (found := re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", text.strip())) is None:
        raise SettingsError(f"`defect_px` must be LEAST-GREATEST in pixels, such as 8-40, but got {text!r}.")
    return int(found[1]), int(found[2] or found[1])
