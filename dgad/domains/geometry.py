"""At what scale photographs are looked at, and in what tiles: one setting from training to service."""

# H x W pixels of a photograph, h x w of the image that it is scaled to

import dataclasses
import re
from typing import TYPE_CHECKING, Literal

from dgad.errors import ImageError, SettingsError
from dgad.settings import require

if TYPE_CHECKING:  # looking into a bundle needs neither
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

ScaleKind = Literal["auto", "native", "factor", "fit", "squash"]

DEFAULT_SCALE = "auto"
DEFAULT_TILE_PX = 256

MAX_SCALED_PIXELS = 2**26
"""As many as a photograph may have itself; a scale that enlarges could ask for more than there is memory."""
_ROWS_PIXELS = 2**20
_FULL_MAP_PIXELS = 2**20
"""Up to so many pixels a score map has one value a pixel."""
_POOLED_SIDE_PX = 128
"""Of the square whose share of patches is pooled, however large the image is."""
_AUTO_FACTOR, _AUTO_SHORTEST_PX = 0.5, 128
"""What `auto` does: measured on synthesized and real surfaces (docs/guide/resolution.md)."""
_EXAMPLES = (
    "`auto`, `native`, a factor such as 0.5, `fit N` (the longer side) or `squash N` (N x N, aspect lost)"
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """How many pixels of a photograph become one; `parse_scale` reads it from text."""

    kind: ScaleKind
    amount: float
    """Output pixels per input pixel, or pixels of the longer side (`fit`) or of every side (`squash`).

    Of `auto` the factor for large photographs.
    """

    def scaled_size(self, height: int, width: int) -> tuple[int, int]:
        """Pixels (h, w) that a photograph of height x width is brought to, at least 1 each."""
        if self.kind == "squash":
            return int(self.amount), int(self.amount)
        factor = self.amount
        if self.kind == "fit":
            factor = self.amount / max(height, width)
        elif self.kind == "auto":
            factor = min(1.0, max(self.amount, _AUTO_SHORTEST_PX / min(height, width)))
        return max(1, round(height * factor)), max(1, round(width * factor))

    def __str__(self) -> str:
        if self.kind in ("auto", "native"):
            return self.kind
        return f"{self.amount:g}" if self.kind == "factor" else f"{self.kind} {int(self.amount)}"


def parse_scale(text: str, name: str = "scale") -> Scale:
    """A scale from its text; `SettingsError` names the setting and what is allowed.

    `auto`, half of the photograph's own resolution but its shorter side not below 128 px, nor enlarged;
    `native`; a factor above 0 and at most 4; `fit N` with N from 32 to 16384; `squash N` with N a multiple
    of 32 from 32 to 1024.
    """
    cleaned = " ".join(str(text).strip().lower().split())
    if cleaned == "auto":
        return Scale(kind="auto", amount=_AUTO_FACTOR)
    if cleaned == "native":
        return Scale(kind="native", amount=1.0)
    found = re.fullmatch(r"(fit|squash) (\d{1,6})", cleaned)
    if found is not None:
        side = int(found[2])
        if found[1] == "fit":
            require(32 <= side <= 16384, name, "`fit N` with N from 32 to 16384", text)
            return Scale(kind="fit", amount=side)
        rule = "`squash N` with N a multiple of 32 from 32 to 1024"
        require(32 <= side <= 1024 and side % 32 == 0, name, rule, text)
        return Scale(kind="squash", amount=side)
    if re.fullmatch(r"\d*\.?\d+(e-?\d+)?", cleaned):
        factor = float(cleaned)
        require(0 < factor <= 4, name, "a factor above 0 and at most 4", text)
        return Scale(kind="native" if factor == 1 else "factor", amount=factor)
    raise SettingsError(f"`{name}` must be {_EXAMPLES}, but got {text!r}.")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """The scale that photographs are looked at, and the tiles that large ones are worked on in.

    Raises `SettingsError` for a value out of range.
    """

    scale: str = DEFAULT_SCALE
    """`auto`, `native`, a factor (output pixels per input pixel), `fit N` for the longer side, or `squash N`.

    See `parse_scale`.
    """
    tile_px: int = DEFAULT_TILE_PX
    """Side of the tiles that training draws and transformers see, in scaled pixels; a multiple of 32."""
    overlap_px: int | None = None
    """Context that a tile's features are given on each side; None: as much as the network can see."""

    def __post_init__(self) -> None:
        parse_scale(self.scale)
        rule = "a multiple of 32 from 64 to 2048"
        require(64 <= self.tile_px <= 2048 and self.tile_px % 32 == 0, "tile_px", rule, self.tile_px)
        if self.overlap_px is not None:
            rule = "0 to 1024, or null for what the network can see"
            require(0 <= self.overlap_px <= 1024, "overlap_px", rule, self.overlap_px)

    @property
    def parsed_scale(self) -> Scale:
        """The scale as numbers."""
        return parse_scale(self.scale)

    @property
    def pooled_area_px(self) -> int:
        """Scaled pixels whose share of patches is pooled at most; under `squash` the whole image.

        A constant: a defect of some size scores alike in a small and a large photograph.
        """
        scale = self.parsed_scale
        return int(scale.amount) ** 2 if scale.kind == "squash" else _POOLED_SIDE_PX**2

    @property
    def input_px(self) -> int:
        """Side of the largest square that a network is given at once, for those made for one size."""
        scale = self.parsed_scale
        if scale.kind == "squash":
            return int(scale.amount)
        if scale.kind == "fit":  # no image is larger, and to fill small ones up to a tile costs time
            return min(-(-int(scale.amount) // 32) * 32, self.tile_px)
        return self.tile_px

    @property
    def drawn_px(self) -> int:
        """Side of procedural images that stand beside scaled ones in training, a multiple of 32."""
        scale = self.parsed_scale
        if scale.kind == "fit":
            return max(32, min(self.tile_px, int(scale.amount)) // 32 * 32)
        if scale.kind == "auto":
            return min(self.tile_px, _AUTO_SHORTEST_PX)
        return self.input_px

    @property
    def key(self) -> str:
        """What it adds to the name of an image's pixels; of `squash N` the number alone."""
        scale = self.parsed_scale
        return str(int(scale.amount)) if scale.kind == "squash" else str(scale).replace(" ", "")

    def with_scale(self, scale: str | None) -> "Geometry":
        """The same with a domain's own scale, if it has one."""
        return self if scale is None else dataclasses.replace(self, scale=scale)

    def scaled_size(self, height: int, width: int) -> tuple[int, int]:
        """Pixels (h, w) that a photograph of height x width is brought to."""
        return self.parsed_scale.scaled_size(height, width)

    def resize(self, image: "Image.Image") -> "npt.NDArray[np.uint8]":
        """A decoded RGB photograph as methods take it: uint8 (3, h, w); `ImageError` beyond 64 Mipx."""
        import numpy as np
        from PIL import Image

        height, width = self.scaled_size(image.height, image.width)
        if height * width > MAX_SCALED_PIXELS:
            raise ImageError(
                f"A photograph of {image.width} x {image.height} px would become {width} x {height} px at the"
                f" scale `{self.scale}`, more than {MAX_SCALED_PIXELS:,}: choose a smaller scale."
            )
        if (height, width) != (image.height, image.width):
            # Pillow's bilinear filter widens with the reduction, so nothing aliases.
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.empty((3, height, width), dtype=np.uint8)
        rows = max(1, _ROWS_PIXELS // width)
        for top in range(0, height, rows):  # not all at once: a large photograph is there twice already
            bottom = min(height, top + rows)
            pixels[:, top:bottom] = np.asarray(image.crop((0, top, width, bottom))).transpose(2, 0, 1)
        return pixels

    def describe(self) -> str:
        """The scale in a few words, for tables and model cards."""
        scale = self.parsed_scale
        if scale.kind == "squash":
            return f"squashed to {int(scale.amount)} x {int(scale.amount)} px"
        if scale.kind == "fit":
            return f"longer side {int(scale.amount)} px"
        if scale.kind == "auto":
            return "half of native resolution, the shorter side at least 128 px"
        return "native resolution" if scale.kind == "native" else f"{scale} of native resolution"


def map_stride(height: int, width: int) -> int:
    """Scaled pixels a side of one cell of an image's score map: 1 up to 2^20 pixels, 2 up to 2^22, else 4."""
    area = height * width
    return 1 if area <= _FULL_MAP_PIXELS else 2 if area <= 4 * _FULL_MAP_PIXELS else 4


def map_size(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the score map of a scaled image of height x width."""
    stride = map_stride(height, width)
    return -(-height // stride), -(-width // stride)


def num_pooled(fraction: float, num_patches: int, stride_px: float, pooled_area_px: int) -> int:
    """How many patches an image's score is the mean of: a share of an area that does not grow, at least 1.

    `pooled_area_px` is the geometry's, of which patches of `stride_px` a side cover that share; of a smaller
    image (fewer patches) it is the share of that image.
    """
    return max(1, round(fraction * min(num_patches, pooled_area_px / stride_px**2)))
