"""The patch tokens of a vision transformer as one feature map, through timm's `forward_intermediates`."""

# N images, S pixels a side, C channels, h = w = S / patch

from typing import Any

import timm
from torch import Tensor, nn


class TokenMap(nn.Module):
    """The tokens after one block, its registers and class token left out, and after the model's last norm.

    The model is made whole and then cut after the block, so that the names in weight files fit. Position
    embeddings are made for `size_px`; timm resamples those it loads. Raises whatever timm raises.
    """

    def __init__(self, name: str, size_px: int, block: int, **arguments: Any) -> None:
        super().__init__()
        arguments |= size_argument(name, size_px)
        model: Any = timm.create_model(name, num_classes=0, **arguments)
        self.pretrained_cfg: dict[str, Any] = model.pretrained_cfg
        level: dict[str, Any] = model.feature_info[block]
        # A last norm may project, as that of SAM does.
        self.channels = int(level.get("num_chs_norm", level["num_chs"]))
        self.blocks: list[int] = model.prune_intermediate_layers([block], prune_norm=False, prune_head=True)
        self.model = model

    def forward(self, pixels_N3SS: Tensor) -> list[Tensor]:
        """One map (N, C, h, w), in a list as a pyramid gives its maps."""
        maps: list[Tensor] = self.model.forward_intermediates(
            pixels_N3SS, indices=self.blocks, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return maps


def nearest_multiple(size_px: int, patch_px: int) -> int:
    """The multiple of `patch_px` nearest to `size_px`, at least one patch: 126 for 128 and 14."""
    return max(1, round(size_px / patch_px)) * patch_px


def has_fixed_size(name: str) -> bool:
    """Whether the model is made for one size of image."""
    config: Any = timm.get_pretrained_cfg(name)
    return config is not None and bool(config.fixed_input_size)


def size_argument(name: str, size_px: int) -> dict[str, int]:
    """`img_size` for a model that is made for one size of image, where that is another."""
    config: Any = timm.get_pretrained_cfg(name)
    return {"img_size": size_px} if has_fixed_size(name) and config.input_size[-1] != size_px else {}
